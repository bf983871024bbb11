#!/usr/bin/env bash
# Serve a model by vLLM, run a command once the server answers, and end the server with it.
# usage: with_vllm.sh "MODEL [OPTIONS OF vllm serve]" COMMAND [ARGUMENTS]   (PORT=8000)
set -euo pipefail

served=$1
shift
port=${PORT:-8000}
# shellcheck disable=SC2086  # the model and its options are several words
vllm serve $served --port "$port" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT

until curl --silent --fail --output /dev/null "http://localhost:$port/health"; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "with_vllm.sh: the server has ended before it answered" >&2
    exit 1
  fi
  sleep 1
done
"$@"
