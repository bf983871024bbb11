"use strict";
const shards = new Map();
const units = Object.keys(known.places);
const which = document.getElementById("which");

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function heatMap(label, tokens, levels, letter) {
  const parts = [element("div", label, "soft")];
  const line = element("div", undefined, "map");
  const strong = tokens.filter((_, at) => parseInt(levels[at], 16) >= 5).map((token) => token.trim());
  line.setAttribute("role", "img");
  line.setAttribute("aria-label", `${label}: ${tokens.join("")}. Strongest: ${strong.join(", ") || "none"}`);
  tokens.forEach((token, at) => {
    const level = levels[at];
    line.append(level === "0" || level === undefined ? token : element("span", token, letter + level));
  });
  parts.push(levels ? line : element("div", "missing"));
  return parts;
}

function drawRows(unit) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const name of ["row", "simulator", known.metric, "explanation"]) {
    const cell = element("th", name, name === known.metric ? "" : "name");
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of unit.rows) {
    const line = body.insertRow();
    if (known.rows.some((item) => item.name === row.name && item.control)) line.className = "control";
    line.append(element("td", row.name, "name"), element("td", row.simulator, "name"));
    line.append(element("td", row.score === null ? "–" : row.score.toFixed(3)), element("td", row.text, "name"));
  }
  const wide = element("div", undefined, "wide");
  wide.append(table);
  document.getElementById("rows").replaceChildren(wide);
}

function drawExcerpts(unit) {
  const chosen = which.value;
  const parts = unit.excerpts.map((excerpt) => {
    const section = element("section", undefined, "excerpt");
    section.append(element("h2", `${excerpt.kind} excerpt, ${excerpt.source}`));
    section.append(...heatMap("real", excerpt.tokens, excerpt.real, "r"));
    unit.rows.forEach((row, at) => {
      if (chosen && chosen !== row.name) return;
      section.append(...heatMap(`${row.name} · ${row.simulator}`, excerpt.tokens, excerpt.simulated[at], "m"));
    });
    return section;
  });
  document.getElementById("excerpts").replaceChildren(...parts);
}

function draw(name) {
  const unit = shards.get(known.places[name])[name];
  document.title = `${name} of ${known.task}`;
  document.getElementById("title").textContent = `Unit ${name} of ${known.task}`;
  const names = [...new Set(unit.rows.map((row) => row.name))];
  const options = names.map((row) => new Option(row, row));
  const before = which.value;
  which.replaceChildren(new Option("all", ""), ...options);
  which.value = names.includes(before) ? before : "";
  drawRows(unit);
  drawExcerpts(unit);
}

function loaded(number, shard) {
  shards.set(number, shard);
  show();
}

function current() {
  const name = decodeURIComponent(location.hash.slice(1));
  return name in known.places ? name : units[0];
}

function show() {
  const name = current();
  const at = units.indexOf(name);
  document.getElementById("before").href = `#${encodeURIComponent(units[(at - 1 + units.length) % units.length])}`;
  document.getElementById("after").href = `#${encodeURIComponent(units[(at + 1) % units.length])}`;
  const number = known.places[name];
  if (shards.has(number)) {
    draw(name);
    return;
  }
  const script = document.createElement("script");
  script.src = `data/units-${String(number).padStart(3, "0")}.js`;
  document.body.append(script);
}

window.addEventListener("hashchange", show);
which.addEventListener("change", () => drawExcerpts(shards.get(known.places[current()])[current()]));
if (units.length) show();
