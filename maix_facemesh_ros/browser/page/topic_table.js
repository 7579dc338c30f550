// The rates of the topics, and a text for each that is silent.

export class TopicTable {
  constructor(table, trouble) {
    this.rows = table.querySelector("tbody");
    this.trouble = trouble;
  }

  show({ topics = {}, trouble = [] }) {
    this.rows.replaceChildren(...Object.entries(topics).map(makeRow));
    this.trouble.hidden = trouble.length === 0;
    // A screen reader reads changes here, so unchanged text is not written again.
    const said = [...this.trouble.children].map((line) => line.textContent);
    if (trouble.join() !== said.join()) {
      this.trouble.replaceChildren(...trouble.map((line) => makeElement("li", line)));
    }
  }
}

function makeRow([role, topic]) {
  const row = document.createElement("tr");
  row.dataset.role = role;
  row.classList.toggle("silent", topic.silent);
  row.append(
    makeElement("td", topic.name),
    makeElement("td", String(topic.publishers)),
    makeElement("td", topic.rate.toFixed(1)),
  );
  return row;
}

function makeElement(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
