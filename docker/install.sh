# Sourced by run_training_container.sh and run_tests.sh. Makes one venv from the lock files, again only if they change.
# shellcheck shell=bash

TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu

has_gpu() { command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; }

find_python() { # find_python VERSION...: prints the first interpreter that has one of these versions
  local candidate version
  for candidate in "${MEMUPDATE_PYTHON:-}" "${@/#/python}" python3; do
    [ -n "$candidate" ] || continue
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case " $* " in *" $version "*) echo "$candidate"; return ;; esac
  done
  version=$*
  echo "memupdate: no Python ${version// / or } found; set MEMUPDATE_PYTHON to one" >&2
  return 2
}

pip_install() { # pip_install VENV ARGUMENT...: prints errors only; bytecode is compiled at the end
  "$1/bin/python" -m pip --disable-pip-version-check install -qq --no-compile "${@:2}"
}

install_cpu_torch() { # install_cpu_torch VENV LOCK: installs the pinned torch, as a CPU build if pip finds one
  local venv=$1 lock=$2 torch log=$1/cpu-torch.log
  torch=$(grep '^torch==' "$lock")
  # A working torch of the pinned version stays, even if it is a CUDA build.
  if "$venv/bin/python" -c "import sys, torch; sys.exit(torch.__version__.split('+')[0] != '${torch#*==}')" 2>/dev/null; then
    return
  fi
  # The lock has the dependencies of the CPU build. The index may be unreachable, so the timeout is short.
  if pip_install "$venv" --no-deps "$torch+cpu" 2>"$log"; then return; fi
  if pip_install "$venv" --no-deps --timeout 15 --retries 1 --extra-index-url "$TORCH_CPU_INDEX" "$torch+cpu" 2>>"$log"; then
    return
  fi
  echo "no CPU build of $torch found, also not at $TORCH_CPU_INDEX (see $log);" \
    "installing pip's default build with its CUDA libraries, a download of several GB" >&2
  pip_install "$venv" --constraint "$lock" "$torch"
}

prove_imports() { # prove_imports VENV: imports torch, verl and ray; if one fails, prints one line and returns status 1
  "$1/bin/python" -W ignore -c '
import importlib, sys
for name in ("torch", "verl", "ray"):
    try:
        importlib.import_module(name)
    except Exception as error:
        reason = " ".join(str(error).split())
        sys.exit(f"memupdate: the installation in {sys.prefix} does not work: import {name}: {reason}")
'
}

install_into() { # install_into VENV run|test: installs the project and its locked requirements
  local venv=$1 purpose=$2 locks=(docker/requirements-cpu.txt) versions=(3.11 3.12) python wanted stamp lock
  if has_gpu; then locks=(docker/requirements-gpu.txt) versions=(3.12); fi
  [ "$purpose" = run ] || locks+=(docker/requirements-test.txt)
  wanted=$(cat "${locks[@]}" pyproject.toml | sha256sum | cut -c1-16)
  stamp=$venv/installed-$purpose
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  python=$(find_python "${versions[@]}")
  echo "installing into $venv (once; about two minutes with a fast network)" >&2
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  # Exact pins without dependency resolution install exactly what the lock says. torch comes first, because the lock
  # accepts any build of it and the first installed build stays.
  has_gpu || install_cpu_torch "$venv" "${locks[0]}"
  for lock in "${locks[@]}"; do pip_install "$venv" --no-deps -r "$lock"; done
  # pip would compile the files one by one, which takes half of the installation time. A file for another Python version
  # (torch has one) fails to compile, here as with pip; only speed depends on it.
  "$venv/bin/python" -m compileall -q -q -j 0 "$venv/lib" || true
  pip_install "$venv" --no-deps --no-build-isolation -e .
  prove_imports "$venv"
  echo "$wanted" >"$stamp"
}
