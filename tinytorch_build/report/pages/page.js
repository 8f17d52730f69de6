// Choosing a module in the graph: by click, by Enter or Space, by the chips in the panel, by the address.
"use strict";
(() => {
  const graphs = [...document.querySelectorAll(".graph")];
  const nodes = [...document.querySelectorAll(".graph .node")];
  const lines = [...document.querySelectorAll(".graph .line")];
  const abouts = [...document.querySelectorAll(".panel .about")];
  const nothing = document.querySelector(".panel .nothing");
  const setOf = (text) => new Set(text ? text.split(" ") : []);
  let chosen = null;

  document.documentElement.classList.add("js");

  function choose(module) {
    chosen = module;
    const sample = nodes.find((node) => node.dataset.module === module);
    const above = setOf(sample && sample.dataset.above);
    const below = setOf(sample && sample.dataset.below);
    for (const graph of graphs) graph.classList.toggle("choosing", Boolean(sample));
    for (const node of nodes) {
      const it = node.dataset.module;
      node.classList.toggle("chosen", it === module);
      node.classList.toggle("above", above.has(it));
      node.classList.toggle("below", below.has(it));
      node.setAttribute("aria-pressed", String(it === module));
      if (sample) node.setAttribute("tabindex", it === module ? "0" : "-1");
    }
    const within = (set, it) => it === module || set.has(it);
    for (const line of lines) {
      const edges = line.dataset.edges.trim().split(" ").map((edge) => edge.split("-"));
      line.classList.toggle("above", edges.some(([need, to]) => above.has(need) && within(above, to)));
      line.classList.toggle("below", edges.some(([need, to]) => below.has(to) && within(below, need)));
    }
    for (const about of abouts) about.classList.toggle("chosen", about.dataset.module === module);
    nothing.hidden = Boolean(sample);
  }

  // The nearest box in a direction: in the same row for left and right, in the next row that there is for up and down.
  function neighbour(node, key) {
    const others = nodes.filter((other) => other !== node && other.ownerSVGElement === node.ownerSVGElement);
    const at = (other) => [Number(other.dataset.x), Number(other.dataset.row)];
    const [x, row] = at(node);
    const beside = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (beside) {
      const found = others.filter((other) => at(other)[1] === row && Math.sign(at(other)[0] - x) === beside);
      return found.sort((one, two) => Math.abs(at(one)[0] - x) - Math.abs(at(two)[0] - x))[0];
    }
    const way = key === "ArrowUp" ? -1 : 1;
    const found = others.filter((other) => Math.sign(at(other)[1] - row) === way);
    const far = (other) => Math.abs(at(other)[1] - row) * 1e6 + Math.abs(at(other)[0] - x);
    return found.sort((one, two) => far(one) - far(two))[0];
  }

  function move(node, to) {
    if (!to) return;
    for (const other of nodes) {
      if (other.ownerSVGElement === node.ownerSVGElement) other.setAttribute("tabindex", other === to ? "0" : "-1");
    }
    to.focus();
  }

  for (const node of nodes) {
    node.addEventListener("click", () => choose(node.dataset.module === chosen ? null : node.dataset.module));
    node.addEventListener("keydown", (event) => {
      const mine = nodes.filter((other) => other.ownerSVGElement === node.ownerSVGElement);
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Enter" || event.key === " ") choose(node.dataset.module);
      else if (event.key === "Escape") choose(null);
      else if (event.key === "Home") move(node, mine[0]);
      else if (event.key === "End") move(node, mine[mine.length - 1]);
      else if (event.key.startsWith("Arrow")) move(node, neighbour(node, event.key));
      else return;
      event.preventDefault();
    });
  }

  for (const chip of document.querySelectorAll(".panel [data-choose]")) {
    chip.addEventListener("click", () => {
      choose(chip.dataset.choose);
      const title = document.querySelector(".panel .about.chosen h3");
      if (title) title.focus(); // the chip has gone with what it was in
    });
  }

  // `#module-tensor` opens what is known of tensor, and shows it in the graph.
  function follow() {
    const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    if (!target || !target.matches("details.module")) return false;
    target.open = true;
    choose(target.dataset.module);
    target.scrollIntoView();
    return true;
  }
  window.addEventListener("hashchange", follow);
  for (const link of document.querySelectorAll('.panel a[href^="#module-"]')) {
    link.addEventListener("click", () => { document.getElementById(link.hash.slice(1)).open = true; });
  }
  if (!follow()) {
    const failed = nodes.find((node) => node.classList.contains("failed"));
    choose(failed ? failed.dataset.module : null);
  }
})();
