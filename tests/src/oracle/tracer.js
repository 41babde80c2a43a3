// Writes down the steps that a rule may need; judges nothing. It runs once per instruction, so most leave at once.
{
    events: [],
    preimages: [],
    kinds: [],
    // The frame that runs, by the order of entry (0: the EntryPoint's own), and those that wait for it.
    frame: 0,
    entered: 0,
    waiting: [],
    // The event that still wants to know the next instruction of its frame.
    last: null,
    // The call or CREATE2 that still wants to know the frame it opens.
    making: null,
    // What each creation was to make, by frame: the call tracer does not tell of those that fail.
    made: {},
    // SELFDESTRUCT is announced as a frame, but is none.
    dying: false,

    setup: function (config) {
        for (var op = 0; op < 256; op++) this.kinds.push(0);
        var fill = function (kinds, ops, kind) { ops.forEach(function (op) { kinds[op] = kind; }); };
        fill(this.kinds, config.noted, 1);
        fill(this.kinds, [0x54, 0x55, 0x5c, 0x5d], 2);
        fill(this.kinds, [0x3b, 0x3c, 0x3f], 3);
        fill(this.kinds, [0xf1, 0xf2, 0xf4, 0xfa], 4);
        fill(this.kinds, [0xf5], 5);
        fill(this.kinds, [0x20], 6);
    },

    step: function (log, db) {
        var op = log.op.toNumber();
        if (this.last !== null) {
            this.last.next = op;
            this.last = null;
        }
        var kind = this.kinds[op];
        if (kind === 0) return;
        if (kind === 6) return this.hash(log);
        if (this.frame === 0) return;

        var event = { frame: this.frame, op: op, contract: toHex(log.contract.getAddress()) };
        if (kind === 2) {
            if (log.stack.length() < 1) return;
            event.word = this.word(log, 0);
        } else if (kind === 3) {
            if (log.stack.length() < 1) return;
            event.word = this.word(log, 0);
            event.code = this.codeSize(event.word, db);
        } else if (kind === 4) {
            var valued = op === 0xf1 || op === 0xf2;
            var args = valued ? 3 : 2;
            if (log.stack.length() < args + 4) return;
            event.word = this.word(log, 1);
            event.code = this.codeSize(event.word, db);
            if (valued) event.value = this.word(log, 2);
            var length = log.stack.peek(args + 1);
            event.length = '0x' + length.toString(16);
            event.input = this.memory(log, log.stack.peek(args), length > 36n ? 36 : Number(length));
            this.making = event;
        } else if (kind === 5) {
            this.making = event;
        } else {
            this.dying = op === 0xff;
        }
        this.events.push(event);
        this.last = event;
    },

    enter: function (frame) {
        this.waiting.push(this.frame);
        if (this.dying) return;
        this.entered++;
        this.frame = this.entered;
        if (frame.getType().startsWith('CREATE')) this.made[this.frame] = toHex(frame.getTo());
        if (this.making !== null) {
            this.making.opens = this.frame;
            this.making = null;
        }
    },

    exit: function () {
        this.frame = this.waiting.pop();
        this.last = null;
        this.making = null;
        this.dying = false;
    },

    fault: function () {},

    result: function (run) {
        return {
            entered: this.entered,
            events: this.events,
            preimages: this.preimages,
            made: this.made,
            output: toHex(run.output),
        };
    },

    hash: function (log) {
        if (log.stack.length() < 2 || log.stack.peek(1) !== 64n) return;
        this.preimages.push(this.memory(log, log.stack.peek(0), 64));
    },

    word: function (log, at) {
        return '0x' + log.stack.peek(at).toString(16);
    },

    codeSize: function (word, db) {
        return db.getCode('0x' + word.slice(2).padStart(64, '0')).length;
    },

    // Memory reads as zeros where it has not grown to yet; asking for those would throw, and so change the run.
    memory: function (log, offset, length) {
        var size = log.memory.length();
        var start = offset < size ? Number(offset) : size;
        var end = Math.min(start + length, size);
        var known = end > start ? toHex(log.memory.slice(start, end)) : '0x';
        return known.padEnd(2 + 2 * length, '0');
    },
}
