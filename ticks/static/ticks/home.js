"use strict";

// Brings the first page up to date while somebody looks at it. Without it, its link does.
{
  const EVERY = 30_000;
  const PARTS = ["home-time", "home-figures", "home-notices", "home-on-sale", "home-entries"];

  // What somebody is in the middle of stays as it is until the next time.
  const isInUse = (part) => {
    const selection = document.getSelection();
    const isSelected = selection && !selection.isCollapsed && selection.containsNode(part, true);
    return isSelected || part.contains(document.activeElement);
  };

  const fetched = async () => {
    const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
    // Logged out meanwhile, or the page is another by now: the link tells.
    if (answer.redirected || !answer.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const swap = (page) => {
    const parts = PARTS.map((id) => [document.getElementById(id), page.getElementById(id)]);
    // A card that came or went changes the page's shape: that is for the link.
    parts.filter(([old, latest]) => old && latest && !isInUse(old) && old.innerHTML !== latest.innerHTML)
      .forEach(([old, latest]) => old.replaceWith(document.adoptNode(latest)));
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      const page = await fetched();
      if (page) swap(page);
    } catch {
      // Away for now: the time of the last update says so.
    }
  };

  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
}
