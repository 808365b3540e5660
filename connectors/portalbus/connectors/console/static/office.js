"use strict";
// The console works without this script; with it, the overview keeps itself live and can be filtered.

function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replace(/đ/g, "d");
}

function keepBoardLive(board) {
  const state = document.getElementById("live-state");
  const word = document.getElementById("live-text");
  const announcement = document.getElementById("announcement");
  const filter = document.getElementById("filter");
  const onlyOut = document.getElementById("only-out");
  const none = document.getElementById("filter-none");
  document.getElementById("board-tools").hidden = false;

  function show(how) {
    state.hidden = false;
    state.dataset.state = how;
    word.textContent = state.dataset[how];
  }

  function apply() {
    const wanted = fold(filter.value.trim());
    let shown = 0;
    for (const part of board.querySelectorAll("section")) {
      let here = 0;
      for (const tile of part.querySelectorAll(".tile")) {
        tile.hidden = !fold(tile.dataset.words).includes(wanted) || (onlyOut.checked && tile.dataset.state !== "out");
        here += tile.hidden ? 0 : 1;
      }
      part.hidden = here === 0;
      shown += here;
    }
    none.hidden = shown > 0;
  }

  function count() {
    for (const figure of document.querySelectorAll("[data-count]")) {
      figure.textContent = board.querySelectorAll(`.tile[data-state="${figure.dataset.count}"]`).length;
    }
  }

  function put(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector(".tile");
    const old = fresh && document.getElementById(fresh.id);
    if (!old) return;
    const turned = old.dataset.state !== fresh.dataset.state;
    if (turned) {
      fresh.classList.add("tile-changed");
      const name = fresh.querySelector(".tile-name").textContent;
      const said = announcement.dataset[fresh.dataset.state];
      if (said) announcement.textContent = `${name}: ${said}`;
    }
    const focused = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (focused) fresh.querySelector("a").focus();
    count();
    apply();
  }

  filter.addEventListener("input", apply);
  onlyOut.addEventListener("change", apply);
  const stream = new EventSource(board.dataset.live);
  stream.addEventListener("hello", () => show("on"));
  stream.addEventListener("tile", (event) => put(event.data));
  stream.addEventListener("over", () => {
    stream.close();
    location.reload(); // nobody is logged in any more: the login page comes
  });
  stream.addEventListener("error", () => show("off"));
  window.addEventListener("pagehide", () => stream.close());
}

function refreshWhileRunning(box) {
  const seconds = Number(box.dataset.refreshEvery);
  const timer = setInterval(() => {
    if (document.hidden) return;
    fetch(location.href)
      .then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.status)))
      .then((html) => {
        const fresh = new DOMParser().parseFromString(html, "text/html").getElementById(box.id);
        if (fresh.dataset.refreshEvery) return;
        clearInterval(timer);
        // When the step has ended, everything on the page may be otherwise.
        location.reload();
      })
      .catch(() => {});
  }, seconds * 1000);
}

const board = document.getElementById("board");
if (board) keepBoardLive(board);
const running = document.querySelector("#fresh[data-refresh-every]");
if (running) refreshWhileRunning(running);
