#!/bin/sh
# Print as Markdown what changed since a commit: the metrics, then the documentation's images.
#   .github/metrics.sh COMMIT [URL]    URL: of this commit's files, to show the images
set -eu
echo "### Metrics"
echo
if [ "$(dvc metrics diff --json "$1")" = "{}" ]; then echo "No metric changed."; else dvc metrics diff --md "$1"; fi
git diff --name-only --diff-filter=AM "$1" -- 'docs/images/*.png' | while read -r image; do
    printf '\n### %s\n\n' "$image"
    [ -z "${2:-}" ] || echo "![]($2/$image?raw=true)"
done
