#!/bin/sh
# dpkg says "remove" and rpm "0" when the package is removed and not upgraded.
set -e
if [ -d /run/systemd/system ] && { [ "$1" = remove ] || [ "$1" = 0 ]; }; then
  systemctl disable --now regsync.timer
fi
