// The connection to the server: it reconnects automatically, and requests one frame at a time.

const RETRY_AFTER = 1000; // milliseconds

export class Connection {
  /**
   * @param onFrame receives a frame's bytes; the next frame is requested when it returns.
   * @param onState receives the state of the topics.
   * @param onChange receives "open", "lost" or "paused".
   */
  constructor({ onFrame, onState, onChange }) {
    this.handlers = { onFrame, onState, onChange };
    this.socket = null;
    // A hidden page requests nothing.
    document.addEventListener("visibilitychange", () => this.followVisibility());
    this.followVisibility();
  }

  followVisibility() {
    if (document.hidden) {
      this.close("paused");
    } else if (this.socket === null) {
      this.open();
    }
  }

  open() {
    const address = new URL("frames", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.handlers.onChange("open");
      socket.send("ready");
    };
    socket.onmessage = ({ data }) => this.take(socket, data);
    socket.onclose = () => {
      if (socket !== this.socket) return;
      this.close("lost");
      setTimeout(() => this.followVisibility(), RETRY_AFTER);
      askForTokenIfNeeded();
    };
  }

  async take(socket, data) {
    if (typeof data === "string") {
      this.handlers.onState(JSON.parse(data));
      return;
    }
    try {
      await this.handlers.onFrame(data);
    } finally {
      if (socket.readyState === WebSocket.OPEN) socket.send("ready");
    }
  }

  close(state) {
    this.socket?.close();
    this.socket = null;
    this.handlers.onChange(state);
  }
}

/** Load the page again where the server has another token by now: it then shows the way in. */
async function askForTokenIfNeeded() {
  const answer = await fetch("mesh.json").catch(() => null);
  if (answer?.status === 401) location.reload();
}
