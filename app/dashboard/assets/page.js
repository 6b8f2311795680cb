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
// Large files take their time: what was pressed shows it.
addEventListener("submit", (event) => event.defaultPrevented || (event.submitter ?? event.target).setAttribute("aria-busy", true));
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
// What is live says so when it is not. Why a stream is refused for good, the page itself tells: it is asked for anew.
const cut = document.getElementById("cut");
addEventListener("htmx:sse:error", ({ detail }) => {
  if (detail.status < 429) location.reload();
  else if (detail.connection?.attempt) cut.hidden = false;
});
function onSign({ detail: { connection } }) {
  cut.hidden = true;
  // After 15 s without a sign a stream is dead, though nobody says so: laptops sleep, and networks change.
  clearTimeout(connection.silence);
  connection.silence = setTimeout(() => connection.reader?.cancel(), 15000);
  // All tabs of a browser share six connections: one that was opened behind another gives its own back, too.
  if (document.hidden) document.dispatchEvent(new Event("visibilitychange"));
}
addEventListener("htmx:sse:after:connection", onSign);
addEventListener("htmx:sse:after:message", onSign);
