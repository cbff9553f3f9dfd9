#!/bin/sh
# What the server's image is made of, step by step: the Dockerfile beside this runs it, and so does a test, in a minimal
# Debian 13. Run as root: install.sh FOLDER, where FOLDER holds one wheel of ctiserver.
set -eu
wheel=$(ls "$1"/ctiserver-*.whl 2>/dev/null) || wheel=
case "$wheel" in
  "") echo "install.sh: no ctiserver-*.whl in $1: build one with 'make wheel', and copy it there" >&2; exit 2 ;;
  *"
"*) echo "install.sh: more than one ctiserver-*.whl in $1: leave the one that you want" >&2; exit 2 ;;
esac

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends python3-venv ca-certificates
apt-get clean
rm -rf /var/lib/apt/lists/*

# speech: espeak-ng as a Python package, for the texts of your own flows.
python3 -m venv /opt/ctiserver
/opt/ctiserver/bin/pip install --no-cache-dir --disable-pip-version-check "$wheel[speech]"
ln -s /opt/ctiserver/bin/ctiserver /usr/local/bin/ctiserver

# Compose and `docker run --user` may name another user: nothing in the image is written to.
groupadd --system --gid 10001 ctiserver
useradd --system --uid 10001 --gid ctiserver --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin ctiserver
