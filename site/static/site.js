// Names that readers of screens hear, and formulas that scroll by the keyboard too.
document.addEventListener("DOMContentLoaded", async () => {
  const relabel = (selector, label) => document.querySelectorAll(selector).forEach((e) => label(e));
  relabel('summary[aria-label="Toggle hidden content"], .search-button-field', (e) => e.removeAttribute("aria-label"));
  relabel(".bd-sidenav summary", (e) => {
    const link = e.closest("li")?.querySelector("a");
    e.setAttribute("aria-label", `Pages under ${link?.textContent.trim()}`);
  });
  await window.MathJax?.startup?.promise;
  relabel("mjx-container[display], div.math, div.highlight pre, .pst-scrollable-table-container", (e) => {
    if (e.scrollWidth > e.clientWidth) e.tabIndex = 0;
  });
});

// What a search shows of a page begins with its text, not with its buttons.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const text = Search.htmlToText;
  Search.htmlToText = (page, anchor) => {
    const parsed = new DOMParser().parseFromString(page, "text/html");
    parsed.querySelectorAll(".bd-header-article, .bd-sidebar-secondary, #jb-print-docs-body").forEach((e) => e.remove());
    return text(parsed.documentElement.outerHTML, anchor);
  };
});
