"use strict";
const table = document.getElementById("rows");
const body = table.tBodies[0];
const metric = document.getElementById("metric");
const filter = document.getElementById("filter");
const controls = document.getElementById("controls");
const MEAN = 3;
const rows = [...body.rows].map((row) => ({
  row,
  control: row.classList.contains("control"),
  name: row.cells[0].textContent.toLowerCase(),
  metrics: row.dataset.metrics.split(";").map((text) => text.split("|")),
}));

function number(text) {
  const value = parseFloat(text);
  return Number.isNaN(value) ? -Infinity : value;
}

function value(row, column) {
  const cell = row.cells[column];
  return column < 2 ? cell.textContent : number(cell.dataset.value || cell.textContent);
}

function sort(column, direction) {
  const sorted = [...rows].sort((a, b) => {
    const [left, right] = [value(a.row, column), value(b.row, column)];
    return (left > right ? 1 : left < right ? -1 : 0) * direction;
  });
  body.append(...sorted.map((item) => item.row));
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    if (at === column) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}

function choose() {
  const at = metric.selectedIndex;
  for (const { row, metrics } of rows) {
    const [order, mean, interval, units] = metrics[at];
    row.cells[MEAN].dataset.value = order;
    row.cells[MEAN].textContent = mean;
    row.cells[MEAN + 1].textContent = interval;
    row.cells[MEAN + 2].textContent = units;
  }
  document.getElementById("mean").textContent = metric.value;
  sort(MEAN, -1);
}

function show() {
  const wanted = filter.value.toLowerCase();
  let count = 0;
  for (const { row, control, name } of rows) {
    row.hidden = !name.includes(wanted) || (control && !controls.checked);
    count += row.hidden ? 0 : 1;
  }
  document.getElementById("shown").textContent = `${count} of ${rows.length} rows`;
}

[...table.tHead.rows[0].cells].forEach((head, column) => {
  const button = head.querySelector("button");
  if (button) button.addEventListener("click", () => {
    sort(column, head.getAttribute("aria-sort") === "descending" ? 1 : -1);
  });
});
metric.addEventListener("change", choose);
filter.addEventListener("input", show);
controls.addEventListener("change", show);
choose();
show();
