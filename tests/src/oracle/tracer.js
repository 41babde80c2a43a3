// Writes down the frames of one handleOps, and the instructions that a rule may be about. Judges nothing.
{
    frames: [],
    events: [],
    preimages: [],
    // By opcode: whether it is written down.
    noted: [],
    topic: 0n,
    // The frame that runs (0: the EntryPoint's own), and those that wait for it.
    frame: 0,
    waiting: [],
    // The last opcode of all.
    last: 0,
    // What wants to know the instruction after it.
    before: null,
    // A call that has not opened its frame.
    call: null,
    // SELFDESTRUCT is announced as a call, but runs nothing.
    dying: false,
    // Validation is over.
    done: false,

    setup: function (config) {
        for (var op = 0; op < 256; op++) this.noted.push(false);
        for (var index = 0; index < config.noted.length; index++) this.noted[config.noted[index]] = true;
        this.topic = BigInt(config.topic);
        this.frames.push({ kind: 'CALL', parent: 0, opened: 0, gas: 0 });
    },

    step: function (log, db) {
        if (this.done) return;
        var op = log.op.toNumber();
        this.last = op;
        if (this.before !== null) {
            this.before.next = op;
            this.before = null;
        }
        this.call = null;
        if (!this.noted[op]) return;
        var stack = log.stack;
        if (op === 0x20) {
            if (stack.length() > 1 && stack.peek(1) === 64n) this.preimages.push(this.memory(log, stack.peek(0), 64));
            return;
        }
        if (op === 0xa1) {
            this.done = this.frame === 0 && stack.peek(2) === this.topic;
            return;
        }
        if (this.frame === 0 && op !== 0x5a) return;

        var event = { frame: this.frame, op: op, at: toHex(log.contract.getAddress()) };
        var depth = stack.length();
        if (op === 0x5a) {
            event.gas = Number(log.getGas());
            this.before = event;
        } else if (op === 0x54 || op === 0x55 || op === 0x5c || op === 0x5d) {
            if (depth < 1) return;
            event.word = this.hex(stack.peek(0));
        } else if (op === 0x3b || op === 0x3c || op === 0x3f) {
            if (depth < 1) return;
            this.target(event, stack.peek(0), db);
            this.before = event;
        } else if (op === 0xf1 || op === 0xf2 || op === 0xf4 || op === 0xfa) {
            var arguments = op === 0xf1 || op === 0xf2 ? 3 : 2;
            if (depth < arguments + 4) return;
            this.target(event, stack.peek(1), db);
            if (arguments === 3) event.value = this.hex(stack.peek(2));
            var length = stack.peek(arguments + 1);
            event.length = this.hex(length);
            event.input = this.memory(log, stack.peek(arguments), length > 36n ? 36 : Number(length));
            this.call = event;
        } else if (op === 0xf5) {
            if (depth > 3 && stack.peek(2) <= 49152n) {
                event.word = this.hex(stack.peek(3));
                event.input = this.memory(log, stack.peek(1), Number(stack.peek(2)));
            }
        }
        this.events.push(event);
    },

    enter: function (call) {
        if (this.done) return;
        if (this.last === 0xff) {
            this.dying = true;
            return;
        }
        var frame = {
            kind: call.getType(),
            to: toHex(call.getTo()),
            parent: this.frame,
            gas: Number(call.getGas()),
            opened: this.events.length,
        };
        if (this.frame === 0) frame.input = toHex(call.getInput());
        if (this.call !== null) {
            this.call.opened = true;
            this.call = null;
        }
        this.waiting.push(this.frame);
        this.frame = this.frames.length;
        this.frames.push(frame);
        this.before = null;
    },

    exit: function (result) {
        if (this.done) return;
        if (this.dying) {
            this.dying = false;
            return;
        }
        var frame = this.frames[this.frame];
        frame.closed = this.events.length;
        frame.used = Number(result.getGasUsed());
        frame.last = this.last;
        var error = result.getError();
        if (error) frame.error = String(error);
        var output = result.getOutput();
        if (frame.kind.startsWith('CREATE')) {
            frame.size = output.length;
        } else if (frame.parent === 0) {
            frame.output = toHex(output);
        }
        this.frame = this.waiting.pop();
        this.before = null;
        this.call = null;
        // What ran last did not run in the frame that goes on.
        this.last = 0;
    },

    fault: function () {},

    result: function (run) {
        return {
            validated: this.done,
            frames: this.frames,
            events: this.events,
            preimages: this.preimages,
            output: toHex(run.output),
        };
    },

    hex: function (word) {
        return '0x' + word.toString(16);
    },

    // An address under whatever bytes, and the code there at this moment.
    target: function (event, word, db) {
        event.word = this.hex(word);
        var code = db.getCode('0x' + word.toString(16).padStart(64, '0'));
        event.code = code.length;
        event.delegated = code.length === 23 && code[0] === 0xef && code[1] === 1 && code[2] === 0;
    },

    // Memory that has not grown to yet reads as zeros; asking for it would end the trace.
    memory: function (log, offset, length) {
        var size = log.memory.length();
        var start = offset < size ? Number(offset) : size;
        var end = Math.min(start + length, size);
        var known = end > start ? toHex(log.memory.slice(start, end)) : '0x';
        return known.padEnd(2 + 2 * length, '0');
    },
}
