# Sourced by the scripts beside it, with a command of memgen.cli, the script's own settings, "--" and the user's words:
# a file of configs/latent_memory/ without .yaml, then settings. Prints the caller's second and third line without them.
command=$1
shift
settings=()
while [[ $1 != -- ]]; do
  settings+=("$1")
  shift
done
shift
if [[ $# -lt 1 || $1 == -* ]]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec python -m memgen.cli "$command" --cfg-path "$root/configs/latent_memory/$1.yaml" --options "${settings[@]}" "${@:2}"
