# The scripts in this folder source this file with these arguments: a command of memgen.cli, the script's own settings,
# "--", and the user's arguments. The user's first argument is the name of a file in configs/latent_memory/ without
# .yaml; settings may follow. If it is missing or starts with "-", lines 2 and 3 of the calling script are printed as
# help, and the exit code is 2.
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
