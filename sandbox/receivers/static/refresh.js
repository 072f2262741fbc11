"use strict";
// Swaps the page's content for a fresh one every few seconds, unless somebody is typing or has opened a detail.
const EVERY_MS = 4000;

function busy() {
  const typing = document.activeElement && document.activeElement.matches("input, select, textarea");
  return typing || document.hidden || document.querySelector("main details[open]") !== null;
}

async function refresh() {
  if (busy()) return;
  try {
    const answer = await fetch(location.pathname);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (fresh && !busy()) document.querySelector("main").replaceWith(fresh);
  } catch {
    // The server is being restarted; the next round will tell.
  }
}

setInterval(refresh, EVERY_MS);
