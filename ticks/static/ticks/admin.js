"use strict";

// Niceties of the staff's site; every page works without them.
{
  const isTyping = (element) => element.isContentEditable || /^(input|textarea|select)$/i.test(element.tagName);
  const opened = () => document.querySelectorAll("#user-menu[open], #changelist-filter details[open]");

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      opened().forEach((menu) => {
        const hadFocus = menu.contains(document.activeElement);
        menu.open = false;
        if (hadFocus) menu.querySelector("summary").focus();
      });
    }
    const search = document.getElementById("site-search") || document.getElementById("searchbar");
    if (event.key === "/" && search && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event.target)) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });

  document.addEventListener("click", (event) => {
    opened().forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
}
