// Loads the page again and shows its new content. Without this script the browser does it (<meta http-equiv="refresh">).
"use strict";
const PERIOD = 15000;

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of ["header", "main", "footer"]) {
      const [old, fresh] = [document.querySelector(part), page.querySelector(part)];
      if (old && fresh && old.innerHTML !== fresh.innerHTML) old.replaceWith(document.adoptNode(fresh));
    }
    document.title = page.title;
    document.body.classList.remove("stale");
  } catch {
    // The content is old: it says so.
    document.body.classList.add("stale");
  }
}

setInterval(refresh, PERIOD);
document.addEventListener("visibilitychange", refresh);
