// Keeps pages live. Every page works without it.
"use strict";

const MOST_CARDS = 40;
const POLL_MS = 10000;
const PATIENCE_MS = 6000;

function keepListLive(list) {
  const state = document.getElementById("live-state");
  const text = document.getElementById("live-text");
  const said = document.getElementById("announcement");
  const empty = document.getElementById("latest-empty");
  let polling = null;

  function show(name) {
    state.hidden = false;
    state.dataset.state = name;
    text.textContent = list.dataset[name];
  }

  function cardsIn(html) {
    const parsed = new DOMParser().parseFromString(`<ol>${html}</ol>`, "text/html");
    return [...parsed.querySelectorAll("li.card")];
  }

  // A card is put where its time of publication belongs; a changed one takes the place of its older self.
  function put(card) {
    const old = [...list.children].find((other) => other.dataset.key === card.dataset.key);
    if (old) {
      if (!old.contains(document.activeElement)) old.replaceWith(card);
      return;
    }
    if (card.classList.contains("card-withdrawn")) return;
    const time = (item) => item.querySelector("time").dateTime;
    const before = [...list.children].find((other) => time(other) <= time(card));
    if (!before && list.children.length >= MOST_CARDS) return;
    card.classList.add("card-new");
    const badge = document.createElement("span");
    badge.className = "chip chip-new";
    badge.textContent = list.dataset.new;
    card.querySelector(".facts").prepend(badge);
    list.insertBefore(card, before || null);
    while (list.children.length > MOST_CARDS) list.lastElementChild.remove();
    empty.hidden = true;
    said.textContent = `${list.dataset.announce} ${card.querySelector("a").textContent}`;
  }

  function poll() {
    if (document.hidden) return;
    fetch(list.dataset.latest)
      .then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.status)))
      .then((html) => cardsIn(html).reverse().forEach(put))
      .catch(() => {});
  }

  function startPolling() {
    if (polling === null) polling = setInterval(poll, POLL_MS);
    show("polling");
  }

  function stopPolling() {
    clearInterval(polling);
    polling = null;
  }

  if (!("EventSource" in window)) {
    startPolling();
    return;
  }
  const stream = new EventSource(`${list.dataset.live}?after=${list.dataset.position}`);
  // Some networks hold streams back: then the page asks from time to time instead.
  let patience = setTimeout(startPolling, PATIENCE_MS);
  stream.addEventListener("hello", () => {
    clearTimeout(patience);
    stopPolling();
    show("on");
  });
  stream.addEventListener("directive", (event) => cardsIn(event.data).forEach(put));
  stream.addEventListener("error", () => {
    clearTimeout(patience);
    if (stream.readyState === EventSource.CLOSED) {
      startPolling();
    } else {
      show("off");
      patience = setTimeout(startPolling, PATIENCE_MS);
    }
  });
  window.addEventListener("pagehide", () => stream.close());
}

function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replace(/đ/g, "d");
}

function filterTable(field) {
  const table = document.getElementById(field.dataset.filters);
  const none = document.getElementById("filter-none");
  field.parentElement.hidden = false;
  const apply = () => {
    const wanted = fold(field.value.trim());
    let found = 0;
    for (const body of table.tBodies) {
      let here = 0;
      for (const row of body.querySelectorAll("tr[data-words]")) {
        row.hidden = !fold(row.dataset.words).includes(wanted);
        here += row.hidden ? 0 : 1;
      }
      body.hidden = here === 0;
      found += here;
    }
    none.hidden = found > 0;
  };
  field.addEventListener("input", apply);
  return apply;
}

function keepFiguresFresh(box, applyFilter) {
  const seconds = Number(box.dataset.refreshEvery);
  setInterval(() => {
    if (document.hidden) return;
    fetch(location.href)
      .then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.status)))
      .then((html) => {
        const fresh = new DOMParser().parseFromString(html, "text/html");
        box.replaceChildren(...fresh.getElementById(box.id).childNodes);
        for (const row of document.querySelectorAll("#agencies tr[data-words]")) {
          const key = CSS.escape(row.dataset.words);
          const other = fresh.querySelector(`tr[data-words="${key}"]`);
          if (!other) continue;
          [...row.cells].slice(1).forEach((cell, index) => {
            const now = other.cells[index + 1];
            if (cell.innerHTML !== now.innerHTML) cell.replaceWith(now.cloneNode(true));
          });
        }
        applyFilter();
      })
      .catch(() => {});
  }, seconds * 1000);
}

const latest = document.getElementById("latest");
if (latest) keepListLive(latest);
const filter = document.querySelector("[data-filters]");
const applyFilter = filter ? filterTable(filter) : () => {};
const fresh = document.getElementById("fresh");
if (fresh) keepFiguresFresh(fresh, applyFilter);
