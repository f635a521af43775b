// Asks the server for a part of the page again and again, and shows what it answers where the page has drawn the part.
// Nothing else is drawn anew. watch.py declares the data that is read here and what is sent back.

const RETRY_S = 2; // after an answer that was lost on its way, or that says nothing
const PAUSE_S = 0.1; // from an answer to the next question, however soon the server answers

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const [data] = component.data; // in a list: views/shared/components.py says why
  const send = setTriggerValue;
  const token = data.token;
  const given = new AbortController();
  let next = 0;
  parentElement.end?.();
  parentElement.end = () => { clearTimeout(next); given.abort(); };

  // The server holds its answer back for so long, or until there is more to tell. In a tab that nobody sees the browser
  // waits instead: it keeps six connections to a server at most, for all its tabs.
  function later(seconds) {
    const pause = document.hidden ? seconds : Math.min(PAUSE_S, seconds);
    next = setTimeout(() => look(seconds - pause), 1000 * pause);
  }

  async function look(wait) {
    let news = { again: true };
    try {
      const answer = await fetch(`${data.path}/${token}?wait=${wait}`, { signal: given.signal, cache: "no-store" });
      if (answer.ok) news = await answer.json();
    } catch {
      if (!given.signal.aborted) next = setTimeout(() => look(0), 1000 * RETRY_S);
      return;
    }
    if (given.signal.aborted) return;
    if (news.again) {
      // not at once: where the page is being drawn already, this part of it is about to be another
      next = setTimeout(() => send("again", { token }), 1000 * RETRY_S);
      return;
    }
    const part = document.querySelector(`[data-watch="${token}"]`);
    if (part) part.innerHTML = news.html;
    if (!news.over) later(news.seconds);
  }

  later(data.seconds);
  return parentElement.end;
}
