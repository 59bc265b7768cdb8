"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const minus = (text) => text.replaceAll("-", "\u2212");

  for (const group of document.querySelectorAll(".maps")) {
    const controls = group.querySelector(".alone");
    const choice = controls.querySelector("select");
    controls.hidden = false;
    choice.addEventListener("change", () => {
      for (const map of group.querySelectorAll(".pair svg")) {
        map.classList.toggle("one", choice.value !== "");
        for (const dots of map.querySelectorAll("path")) {
          const on = dots.dataset.level === choice.value;
          dots.classList.toggle("on", on);
          if (on) map.append(dots);
        }
      }
    });
  }

  const stored = $("effects-data");
  if (!stored) return;
  const data = JSON.parse(stored.textContent);
  const count = data.gene.length;
  const table = $("effects-table");
  const heads = [...table.querySelectorAll("thead th")];
  const texts = { gene: data.genes, batch: data.batches, family: data.families };
  const reach = 1.959963984540054;
  const low = (row) => 2 ** (data.effect[row] - reach * data.error[row]);
  const high = (row) => 2 ** (data.effect[row] + reach * data.error[row]);

  const digits = (value) => {
    if (!Number.isFinite(value)) return "\u221e";
    if (Number.isInteger(value) && Math.abs(value) < 1e11) return minus(value.toLocaleString("en"));
    if (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7) return minus(value.toExponential(1).replace("e+", "e"));
    if (Math.abs(value) >= 1e3) return minus(Math.round(value).toLocaleString("en"));
    return minus(value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))));
  };
  const shown = {
    gene: (row) => data.genes[data.gene[row]],
    batch: (row) => data.batches[data.batch[row]],
    effect: (row) => digits(2 ** data.effect[row]),
    low: (row) => `${digits(low(row))} to ${digits(high(row))}`,
    z: (row) => digits(data.z[row]),
    q: (row) => (data.q[row] < 1e-15 ? "<\u00a01e\u221215" : digits(data.q[row])),
    family: (row) => data.families[data.family[row]],
  };

  const ranks = {};
  const collator = new Intl.Collator("en", { numeric: true });
  const rankOf = (key) => {
    if (!(key in ranks)) {
      const names = texts[key];
      const order = names.map((_, place) => place).sort((a, b) => collator.compare(names[a], names[b]) || a - b);
      ranks[key] = new Array(names.length);
      order.forEach((place, rank) => { ranks[key][place] = rank; });
    }
    return ranks[key];
  };
  const valueOf = (key) => {
    if (key in texts) { const rank = rankOf(key); return (row) => rank[data[key][row]]; }
    if (key === "low") return low;
    return (row) => data[key][row];
  };

  let sorted = { key: "", down: false };
  let rows = [];
  let page = 0;

  const draw = () => {
    const body = document.createElement("tbody");
    for (const row of rows.slice(page * data.perPage, (page + 1) * data.perPage)) {
      const line = document.createElement("tr");
      for (const head of heads) {
        const key = head.dataset.key;
        const cell = document.createElement(key === "gene" ? "th" : "td");
        if (key === "gene") cell.scope = "row";
        if (key in texts) {
          const name = document.createElement("bdi");
          name.textContent = shown[key](row);
          cell.append(name);
        } else {
          cell.className = "number";
          cell.textContent = shown[key](row);
        }
        line.append(cell);
      }
      body.append(line);
    }
    table.tBodies[0].replaceWith(body);
    const pages = Math.max(1, Math.ceil(rows.length / data.perPage));
    $("page").textContent = `Page ${page + 1} of ${pages.toLocaleString("en")}`;
    $("previous").disabled = page === 0;
    $("next").disabled = page >= pages - 1;
  };

  const select = () => {
    const words = $("f-gene").value.trim().toLowerCase();
    const batch = $("f-batch").value;
    const family = $("f-family") ? $("f-family").value : "";
    const most = Number($("f-q").value);
    const least = Math.log2(Number($("f-fold").value));
    const fits = data.genes.map((gene) => gene.toLowerCase().includes(words));
    rows = [];
    for (let row = 0; row < count; row += 1) {
      if (fits[data.gene[row]]
          && (batch === "" || data.batch[row] === Number(batch))
          && (family === "" || (family === "*" ? data.family[row] > 0 : data.family[row] === Number(family)))
          && data.q[row] <= most && Math.abs(data.effect[row]) >= least) rows.push(row);
    }
    if (sorted.key) {
      const value = valueOf(sorted.key);
      const sign = sorted.down ? -1 : 1;
      rows.sort((a, b) => sign * (value(a) - value(b)) || a - b);
    }
    page = 0;
    const order = sorted.key ? "" : ", the surest first";
    $("status").textContent = `${rows.length.toLocaleString("en")} of ${count.toLocaleString("en")} effects${order}`;
    draw();
  };

  for (const head of heads) {
    const key = head.dataset.key;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const first = !(key in texts || key === "q");
      if (sorted.key !== key) sorted = { key, down: first };
      else if (sorted.down === first) sorted = { key, down: !first };
      else sorted = { key: "", down: false };
      for (const other of heads) {
        const here = other === head && sorted.key !== "";
        other.setAttribute("aria-sort", here ? (sorted.down ? "descending" : "ascending") : "none");
      }
      select();
    });
  }

  const fill = (id, names, kept) => {
    names.forEach((name, place) => {
      if (!kept(place)) return;
      const option = document.createElement("option");
      option.value = String(place);
      option.textContent = name;
      $(id).append(option);
    });
  };
  const there = new Set(data.batch);
  fill("f-batch", data.batches, (place) => there.has(place));
  if ($("f-family")) fill("f-family", data.families, (place) => place > 0);
  for (const id of ["f-gene", "f-batch", "f-family", "f-q", "f-fold"]) {
    if ($(id)) $(id).addEventListener(id === "f-gene" ? "input" : "change", select);
  }
  $("previous").addEventListener("click", () => { page -= 1; draw(); });
  $("next").addEventListener("click", () => { page += 1; draw(); });

  // a text that a spreadsheet would take for a formula gets an apostrophe, which makes it text there
  const guarded = (text) => (/^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  $("csv").addEventListener("click", () => {
    const lines = ["gene,batch,log2_effect,log2_se,effect,lower,upper,z,q,family"];
    for (const row of rows) {
      const [gene, batch, family] = ["gene", "batch", "family"].map((key) => quoted(guarded(shown[key](row))));
      const numbers = [data.effect[row], data.error[row], 2 ** data.effect[row], low(row), high(row)].map(
        (value) => Number(value.toPrecision(4)));
      lines.push([gene, batch, ...numbers, data.z[row], data.q[row], family].join(","));
    }
    const address = URL.createObjectURL(new Blob([`\ufeff${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = "batch-effects.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  });

  $("controls").hidden = false;
  $("pager").hidden = false;
  select();
})();
