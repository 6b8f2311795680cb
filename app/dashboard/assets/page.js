// What every page needs besides htmx. Without it all of them work, too.
addEventListener("htmx:config:request", (event) => {
  // Requests without a form of ours send the token in a header.
  const token = document.querySelector("input[name=csrf_token]");
  if (token) event.detail.ctx.request.headers["X-CSRF-Token"] = token.value;
});
// On a narrow screen, where one is stands in sight.
const stand = () => {
  for (const here of document.querySelectorAll("nav [aria-current]")) {
    const list = here.closest("ul"), over = here.getBoundingClientRect().right - list.getBoundingClientRect().right;
    if (over > 0) list.scrollLeft += over + 60;
  }
};
stand();
addEventListener("resize", stand);
// A live region whose session has ended leads to the sign-in.
addEventListener("htmx:sse:error", (event) => event.detail.status === 401 && location.reload());
// An open menu closes with Escape, and when something else is clicked.
addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (open) {
    open.open = false;
    open.firstElementChild.focus();
  }
});
addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]"))
    if (!menu.contains(event.target)) menu.open = false;
});
