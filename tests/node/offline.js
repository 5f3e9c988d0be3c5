// Preloaded into command-line tools under test: whatever they would dial, they find no network.
const refuse = (name) => Object.assign(new Error(`no network in tests: ${name}`), { code: "ENOTFOUND" });
require("net").Socket.prototype.connect = function connect(...args) {
  process.nextTick(() => this.destroy(refuse(JSON.stringify(args[0]))));
  return this;
};
require("dns").lookup = (name, ...rest) => process.nextTick(rest.pop(), refuse(name));
