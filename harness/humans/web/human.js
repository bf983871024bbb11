"use strict";
// Every answer is kept in the browser until the server has said that it has it, and drafts while they are written.
const form = document.getElementById("answer");
const status_line = document.getElementById("status");
const KEPT = "No connection. Your answer is kept in this browser and is sent again by itself.";
const QUEUE = "neurogloss-answer:";
const DRAFT = "neurogloss-draft:";

function say(text) {
  status_line.textContent = text;
}

function stored(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(key);
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch (error) {
    say(`This browser keeps nothing (${error.name}): do not leave the page before an answer is sent.`);
  }
  return null;
}

function keysOf(prefix) {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  } catch {
    return [];
  }
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
    addEventListener("online", done);
  });
}

// Returns "" once the server has the answer, or the sentence by which it refuses it; goes on trying without a connection.
async function send(body) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const reply = await fetch("answer", {
        method: "POST", body: new URLSearchParams(body), headers: { "X-Sent-By": "script" }, signal: AbortSignal.timeout(20000),
      });
      if (reply.ok) return "";
      if (reply.status < 500 && reply.status !== 429) return await reply.text();
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "TimeoutError" || error.name === "AbortError")) throw error;
    }
    say(KEPT);
    await pause(wait);
  }
}

// Sends what an earlier page could not, and returns whether there was anything.
async function sendKept() {
  const keys = keysOf(QUEUE);
  for (const key of keys) {
    const body = stored(key);
    const refusal = await send(body);
    stored(key, null);
    if (refusal) say(refusal);
    else stored(DRAFT + new URLSearchParams(body).get("assignment"), null);
  }
  return keys.length > 0;
}

let sending = false;
async function answer(submitter) {
  if (sending) return;
  const fields = new FormData(form, submitter);
  fields.delete("brush");
  fields.set("id", randomId());
  const body = new URLSearchParams(fields).toString();
  const key = QUEUE + fields.get("id");
  sending = true;
  stored(key, body);
  form.querySelectorAll("button").forEach((button) => { button.disabled = true; });
  const refusal = await send(body);
  stored(key, null);
  if (refusal) {
    sending = false;
    form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
    say(refusal);
    return;
  }
  stored(DRAFT + form.dataset.assignment, null);
  location.assign("work");
}

// ------------------------------------------------------------------------------------------------------------- drafts

const WRITTEN = ["text", "nothing", "confidence", "levels"];

function keepDraft() {
  const fields = new FormData(form);
  const draft = WRITTEN.filter((name) => fields.has(name)).map((name) => [name, fields.get(name)]);
  stored(DRAFT + form.dataset.assignment, JSON.stringify(draft));
}

function restoreDraft() {
  const draft = stored(DRAFT + form.dataset.assignment);
  if (!draft) return;
  for (const [name, value] of JSON.parse(draft)) {
    for (const field of form.querySelectorAll(`[name="${name}"]`)) {
      if (field.type === "radio" || field.type === "checkbox") field.checked = field.value === value;
      else field.value = value;
    }
  }
}

// ------------------------------------------------------------------------------------------------- levels of tokens

function simulating() {
  const tokens = [...form.querySelectorAll(".token[role=slider]")];
  const hidden = form.elements.levels;
  const length = form.querySelectorAll(".token").length;
  let levels = hidden.value ? hidden.value.split(",").map(Number) : [];
  if (levels.length !== length) levels = new Array(length).fill(0);

  function draw(token) {
    const level = levels[Number(token.dataset.place)];
    token.setAttribute("aria-valuenow", level);
    token.querySelector(".level").textContent = level;
    token.className = level ? `token set m${level.toString(11)}` : "token";
  }
  function set(token, level) {
    levels[Number(token.dataset.place)] = Math.max(0, Math.min(10, level));
    hidden.value = levels.join(",");
    draw(token);
    keepDraft();
  }
  function move(token, step) {
    const target = tokens[tokens.indexOf(token) + step];
    if (!target) return;
    token.tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  }
  const brush = () => Number(form.elements.brush.value);
  let painting = false;

  hidden.value = levels.join(",");
  for (const token of tokens) {
    draw(token);
    token.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const now = levels[Number(token.dataset.place)];
      if (event.key === "ArrowRight") move(token, 1);
      else if (event.key === "ArrowLeft") move(token, -1);
      else if (event.key === "Home") move(token, -tokens.indexOf(token));
      else if (event.key === "End") move(token, tokens.length - 1 - tokens.indexOf(token));
      else if (event.key === "ArrowUp") set(token, now + 1);
      else if (event.key === "ArrowDown") set(token, now - 1);
      else if (/^[0-9]$/.test(event.key)) set(token, Number(event.key));
      else if (event.key === "x") set(token, 10);
      else if (event.key === " ") set(token, brush());
      else return;
      event.preventDefault();
    });
    token.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (event.pointerType === "mouse") painting = true;
      else return; // a finger scrolls unless it only taps
      set(token, brush());
    });
    token.addEventListener("click", (event) => {
      if (event.pointerType !== "mouse") set(token, brush());
    });
    token.addEventListener("pointerenter", (event) => {
      if (painting && event.buttons & 1) set(token, brush());
    });
  }
  addEventListener("pointerup", () => { painting = false; });
}

// --------------------------------------------------------------------------------------------------------- the page

function begin() {
  restoreDraft();
  if (document.body.dataset.mode === "simulate") simulating();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answer(event.submitter);
  });
  form.addEventListener("input", keepDraft);
  const nothing = form.elements.nothing;
  if (nothing) {
    const follow = () => { form.elements.text.disabled = nothing.checked; form.elements.text.required = !nothing.checked; };
    nothing.addEventListener("change", follow);
    follow();
  }
  document.addEventListener("keydown", (event) => {
    if (event.repeat || sending) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      const button = form.querySelector("button.main");
      if (button) form.requestSubmit(button);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const button = form.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
    if (button) {
      event.preventDefault();
      form.requestSubmit(button);
    }
  });
  const first = form.querySelector("#text") || form.querySelector(".token[tabindex='0']") || document.getElementById("title");
  first.focus({ preventScroll: first.id !== "title" });
}

const token = document.getElementById("token");
if (token && location.hash.length > 1) {
  token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}
sendKept().then((sent) => {
  if (form && sent) location.assign("work");
  else if (form) begin();
});
