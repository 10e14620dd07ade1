"""Other people's gateways, started as their own commands do, with loopback alone to reach.

python benchmarks/gateway_peers.py litellm|gpt4free PORT UPSTREAM
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

LITELLM = """
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "{upstream}/v1", api_key: sk-none}}
litellm_settings: {{telemetry: false}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""


def only_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    """Nobody is asked for news, prices or lists of providers."""
    address = (
        arguments[1]
        if event == "socket.connect"
        else arguments[0]
        if event == "socket.getaddrinfo"
        else None
    )
    host = address[0] if isinstance(address, tuple) else address
    if (
        isinstance(host, str)
        and host not in ("127.0.0.1", "localhost", "0.0.0.0")  # noqa: S104 - nothing is bound
        and not host.startswith("/")
    ):
        raise PermissionError(f"nobody but loopback is asked, not {host}")


def litellm(port: int, upstream: str) -> None:
    """``litellm --config FILE``: one worker, its defaults."""
    os.environ |= {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
    }
    from litellm.proxy.proxy_cli import run_server  # noqa: PLC0415 - when its environment is set

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(LITELLM.format(upstream=upstream))
        command = [
            "--config",
            str(config),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--telemetry",
            "False",
        ]
        run_server(command, standalone_mode=False)


def gpt4free(port: int, upstream: str) -> None:
    """``g4f api``: its provider `Custom` is meant for a server of one's own."""
    from g4f.client.factory import AbstractClientFactory  # noqa: PLC0415 - one of two

    # Else it fetches this list when it starts.
    AbstractClientFactory._live_providers = {  # noqa: SLF001
        "providers": {name: {"baseUrl": f"{upstream}/v1"} for name in ("G4FSpace", "default")},
        "defaultModels": {},
    }
    from g4f.api import run_api  # noqa: PLC0415 - with the list in place
    from g4f.Provider import Custom  # noqa: PLC0415 - with the list in place

    Custom.base_url = f"{upstream}/v1"
    run_api(bind=f"127.0.0.1:{port}", access_log=False)


if __name__ == "__main__":
    sys.addaudithook(only_loopback)
    {"litellm": litellm, "gpt4free": gpt4free}[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
