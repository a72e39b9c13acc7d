// Asking the server: a text, perhaps a verb, perhaps a stage; the answer is the text after it, its drawing, complaints.

export class Server {
  constructor(address, token) {
    this.address = address;
    this.token = token;
    this.asked = 0;
  }

  // Return the answer, or null where something was asked since: then it is stale.
  async ask(body) {
    this.asked += 1;
    const mine = this.asked;
    const answer = await fetch(this.address, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": this.token },
      body: JSON.stringify(body),
    });
    if (mine !== this.asked) { return null; }
    if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("application/json")) {
      throw new Error(answer.status === 413 ? "The text is too large." : "The server did not take it; you may have to sign in again in another tab.");
    }
    return answer.json();
  }
}
