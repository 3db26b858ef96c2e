#!/bin/sh
# Makes the image of the Docker sandbox where no registry answers: a minimal Debian with python3, as a tar archive.
#
#   infra/images/sandbox.sh ARCHIVE.tar          needs root and debootstrap; about two minutes, 120 MB
#   docker import ARCHIVE.tar keepsake-sandbox   and then KEEPSAKE_SANDBOX_IMAGE=keepsake-sandbox
#
# Where a registry answers, infra/images/sandbox.Dockerfile on python:3.11-slim does the same.
# The mirror and the release are the ones this machine's own apt uses.
set -eu

archive=$(realpath -m "${1:?give the archive to write}")
command -v debootstrap >/dev/null || { echo "sandbox.sh: install debootstrap first" >&2; exit 3; }
[ "$(id -u)" = 0 ] || { echo "sandbox.sh: debootstrap needs root" >&2; exit 3; }

release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk -v r="$release" '$2 == r { print $1; exit }')
[ -n "$mirror" ] || { echo "sandbox.sh: apt names no mirror for $release" >&2; exit 3; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase --include=python3 "$release" "$work/root" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 4; }
cd "$work/root"
# Nothing is installed in it later, and nobody reads manuals there.
rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc usr/share/man usr/share/locale var/log/* dev/*
tar -c --numeric-owner -f "$archive.part" .
mv "$archive.part" "$archive"
