# Login set-up of the keep-up example, sourced by bash before the launch script: puts this folder on PATH, so that
# keepup_submit is found.
PATH="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd):$PATH"
export PATH
