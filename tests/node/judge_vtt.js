// Reads a JSON list of WebVTT texts on standard input; prints for each one what webvtt-parser thinks of it:
// {"errors": [...], "cues": [{"id", "startMs", "endMs", "text"}]}, where text is what a player would show;
// and the same cues as vtt.js, the parser of web players, reads them: "vttJs".
"use strict";

const { WebVTT } = require("vtt.js");
const { WebVTTParser } = require("webvtt-parser");
const entities = require("webvtt-parser/html-entities.json"); // the built-in few leave the semicolon in the text

const shown = (node) => (node.type === "text" ? node.value : `<${node.name || node.type}>${shownAll(node.children || [])}`);
const shownAll = (nodes) => nodes.map(shown).join("");

class VTTCue {
  text = ""; // the rest vtt.js fills in
}

const SIGNS = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };

function readByVttJs(text) {
  const cues = [];
  const parser = new WebVTT.Parser({ VTTCue }, WebVTT.StringDecoder());
  parser.oncue = (cue) => cues.push({
    id: cue.id,
    startMs: Math.round(cue.startTime * 1000),
    endMs: Math.round(cue.endTime * 1000),
    text: cue.text.replace(/&(amp|lt|gt);/g, (sign) => SIGNS[sign]),
  });
  parser.onparsingerror = (error) => cues.push({ error: error.message });
  parser.parse(text);
  parser.flush();
  return cues;
}

let input = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => { input += chunk; });
process.stdin.on("end", () => {
  const judged = JSON.parse(input).map((text) => {
    const { errors, cues } = new WebVTTParser(entities).parse(text);
    return {
      errors: errors.map((error) => `line ${error.line}: ${error.message}`),
      cues: cues.map((cue) => ({
        id: cue.id,
        startMs: Math.round(cue.startTime * 1000),
        endMs: Math.round(cue.endTime * 1000),
        text: shownAll(cue.tree.children),
      })),
      vttJs: readByVttJs(text),
    };
  });
  process.stdout.write(JSON.stringify(judged));
});
