"""The real Serverless Devs CLI over a component of our own, which records what it is given: the real one is fetched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "fc3.schema.json").read_bytes())
OUTPUT_URL = "oss://media-results/smarttag"
ACCOUNT_ID = "1234567890123456"
CLI = ROOT / "tests" / "node" / "node_modules" / "@serverless-devs" / "s" / "bin" / "s"
OFFLINE = ROOT / "tests" / "node" / "offline.js"
COMPONENT = """
const fs = require('fs'), path = require('path');
module.exports = class {
  getSchema() { return String(fs.readFileSync(path.join(__dirname, 'schema.json'))); }
  async info(inputs) { return {url: 'https://' + inputs.props.functionName + '.cn-shanghai.fcapp.run'}; }
  async remove() { return {}; }
  async invoke(inputs) {
    const event = fs.readFileSync(inputs.args[inputs.args.indexOf('--event-file') + 1], 'utf-8');
    const line = JSON.stringify([inputs.props.functionName, event]);
    fs.appendFileSync(path.join(__dirname, 'invoked.ndjson'), line + '\\n');
    return {};
  }
  async deploy(inputs) {
    fs.appendFileSync(path.join(__dirname, 'deployed.ndjson'), JSON.stringify(inputs.props) + '\\n');
    return {};
  }
};
"""


def project(folder: Path) -> Path:
    """Copy the template beside a component of our own (the real one is fetched at deployment) and a Makefile."""
    text = (ROOT / "template.yml").read_text(encoding="utf-8")
    (folder / "template.yml").write_text(text.replace("component: fc3", "component: ./fc3"), encoding="utf-8")
    smarttag = Path(sys.executable).with_name("smarttag")
    (folder / "Makefile").write_text(
        f"build:\n\techo built $(RELAY_PYTHON) >> built.txt\npreflight:\n\t{smarttag} doctor --offline\n"
    )
    (folder / "fc3").mkdir()
    (folder / "fc3" / "index.js").write_text(COMPONENT)
    (folder / "fc3" / "schema.json").write_text(json.dumps(SCHEMA))
    key = ("--AccountID", ACCOUNT_ID, "--AccessKeyID", "made-up", "--AccessKeySecret", "made-up")
    assert run(folder, "config", "add", *key, "-a", "default").returncode == 0
    return folder


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the CLI with a home of its own, answering nothing and writing to a file: on a closed pipe it hangs."""
    node = shutil.which("node")
    assert node is not None
    # NODE_ENV=test keeps the CLI from starting its usage reporter, a background process that would dial out.
    home = {"HOME": str(folder / "home"), "PATH": "/usr/local/bin:/usr/bin:/bin", "NO_COLOR": "1", "NODE_ENV": "test"}
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        done = subprocess.run(
            [node, "--require", OFFLINE, CLI, *arguments],
            cwd=folder,
            env={**home, "OUTPUT_URL": OUTPUT_URL, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())
