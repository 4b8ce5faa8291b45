# Sourced by run_training_container.sh and run_tests.sh: one venv from the lock files, installed once per content.
# shellcheck shell=bash

find_python() { # the first Python that the lock files are for
  local candidate
  for candidate in "${MEMUPDATE_PYTHON:-}" python3.11 python3.12 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "memupdate: no Python 3.11 or 3.12 found; set MEMUPDATE_PYTHON to one" >&2
  return 2
}

install_into() { # install_into VENV run|test
  local venv=$1 purpose=$2 locks=(docker/requirements-cpu.txt) python wanted stamp
  if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; then locks=(docker/requirements-gpu.txt); fi
  [ "$purpose" = run ] || locks+=(docker/requirements-test.txt)
  wanted=$(cat "${locks[@]}" pyproject.toml | sha256sum | cut -c1-16)
  stamp=$venv/installed-$purpose
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  python=$(find_python)
  echo "installing into $venv (once; about two minutes with a fast network)" >&2
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --no-compile)
  # Exact pins without dependency resolution: what is installed is what the lock says. torch comes first so that a CPU
  # build that the index or a wheel folder offers (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS) is taken and then kept.
  "${pip[@]}" "$(grep -h '^torch==' "${locks[0]}")"
  local lock
  for lock in "${locks[@]}"; do "${pip[@]}" -r "$lock"; done
  # pip would compile one file after another, half of the installation's time. A file for another Python (torch has one)
  # fails here as it does there; nothing but speed depends on it.
  "$venv/bin/python" -m compileall -q -q -j 0 "$venv/lib" || true
  "${pip[@]}" --no-build-isolation -e .
  echo "$wanted" >"$stamp"
}
