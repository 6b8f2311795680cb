// What the page of a new job does beyond its forms; each of it only saves a step.
const drop = document.querySelector("[data-drop]");
if (drop) {
  const file = drop.querySelector("input[type=file]");
  file.addEventListener("change", () => file.files.length && drop.requestSubmit());
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    drop.requestSubmit();
  });
}
// A column goes where the caret is.
addEventListener("click", (event) => {
  const chip = event.target.closest("button[data-place]");
  const prompt = chip && document.getElementById("template");
  if (!prompt) return;
  event.preventDefault();
  prompt.setRangeText(chip.dataset.place, prompt.selectionStart, prompt.selectionEnd, "end");
  prompt.focus();
  prompt.dispatchEvent(new Event("input", { bubbles: true }));
});
// What is pasted outlives a reload, in this tab alone.
for (const text of document.querySelectorAll("[data-kept]")) {
  const name = `penstock-${text.dataset.kept}`;
  text.value ||= sessionStorage.getItem(name) ?? "";
  text.addEventListener("input", () => sessionStorage.setItem(name, text.value));
}
// It is kept elsewhere now. And Enter in a field saves as any change does, without leaving it.
const sent = document.querySelector("[data-sent]");
if (sent) sessionStorage.removeItem(`penstock-${sent.dataset.sent}`);
addEventListener("submit", (event) => event.submitter?.hidden && event.preventDefault(), true);
