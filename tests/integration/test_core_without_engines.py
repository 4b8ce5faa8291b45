"""Banks, broker, LangGraph and MCP where neither the engines nor the packages for training are installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = '''
import json, sys

class NotInstalled:
    """Nothing of these packages can be found."""

    names = {"ray", "torch", "verl", "sglang", "pandas", "pyarrow", "transformers", "datasets", "omegaconf", "hydra"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
from memupdate.broker import MemoryBroker
from memupdate.integrations import MemoryBankStore, memory_server, memory_tools, open_bank

banks = MemoryBroker(None, journal_dir=sys.argv[1])
open_bank(banks, "ana")
tools = {tool.name: tool for tool in memory_tools(banks, "ana")}
texts = [tools["manage_memory"].invoke({"operation": "create", "content": "Ana likes tea"})]
texts.append(tools["search_memory"].invoke({"query": "Ana likes tea"}))
store = MemoryBankStore(banks)
store.put(("ben",), "drink", {"content": "Ben likes coffee"})
texts += [item.key for item in store.search(("ben",), query="coffee")]
texts.append(memory_server(banks, "ana").name)
print(json.dumps(texts))
'''


def test_banks_serve_langgraph_and_mcp_with_the_core_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "journal")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout) == ["Created [m1].", "[m1] 1.00 Ana likes tea", "drink", "memupdate"]
