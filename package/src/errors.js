// What is thrown: one class, told apart by `type`.

/** Why there is no answer. */
export class CalculatorError extends Error {
  /** From `{type, message, errors}`. */
  constructor({ type, message, errors = [] }, options) {
    super(message, options);
    this.name = "CalculatorError";
    this.type = type;
    this.error = type;
    this.errors = errors;
  }

  toJSON() {
    return { error: this.error, message: this.message, type: this.type, errors: this.errors };
  }
}

/** An error with one issue at most. */
export function failed(type, message, { path, code = type, cause } = {}) {
  const errors = path === undefined ? [] : [{ severity: "error", code, path, message }];
  return new CalculatorError({ type, message, errors }, cause === undefined ? undefined : { cause });
}
