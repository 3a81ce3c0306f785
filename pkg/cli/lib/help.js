/** A failure that the reader can do something about: shown without a stack. `code` is the command's exit code. */
export class Help extends Error {
  constructor(message, { code = 1 } = {}) {
    super(message);
    this.name = "Help";
    this.code = code;
  }
}

/** The command was called in a wrong way. */
export class Usage extends Help {
  constructor(message) {
    super(message, { code: 2 });
  }
}
