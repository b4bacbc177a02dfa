#!/usr/bin/env bash
# build/sysroot: headers and libraries of Debian 11 (glibc 2.31, GCC 10), unpacked for native/prebuild.sh. Wants apt-get, dpkg-deb and the keys
# that Debian signs its packages with; nothing is installed, and it need not be run by root.
set -euo pipefail
cd "$(dirname "$0")/.."
sysroot=$PWD/build/sysroot
if [ -d "$sysroot" ]; then exit 0; fi
# Debian moves old releases: http://archive.debian.org/debian is the next place.
mirror=${KVASIR_DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=${KVASIR_DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}

lacks() {
  echo "sysroot.sh: $1. Or do without: npm run build makes an addon for this system, and npm install ../kvasir links a project to the clone" >&2
  exit 1
}
for tool in apt-get dpkg-deb; do
  command -v $tool >/dev/null || lacks "$tool is missing; expected Debian's tools for packages (Fedora: dnf install apt dpkg debian-keyring)"
done
[ -f "$keyring" ] || lacks "$keyring is missing; expected Debian's keys (Ubuntu: apt-get install debian-archive-keyring; Fedora: dnf install \
debian-keyring), where KVASIR_DEBIAN_KEYRING says if not there"

work=$sysroot.partial
rm -rf "$work"
mkdir -p "$work"/{root,lists/partial,cache}
touch "$work/status"
echo "deb [signed-by=$keyring] $mirror bullseye main" >"$work/sources.list"

# apt checks the signatures. Its state is its own here: what this machine has installed plays no part.
apt() {
  apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists" \
    -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User= "$@"
}
apt update
# The last two are what a test runs Node with.
(cd "$work" && apt download libc6 libc6-dev linux-libc-dev libstdc++-10-dev libgcc-10-dev libstdc++6 libgcc-s1)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
# Links from /usr/lib to /lib are absolute, and would lead to this machine's libraries.
find "$work/root" -type l -lname '/*' -printf '%p %l\n' | while read -r link target; do ln -sfnr "$work/root$target" "$link"; done
# The folder gets its name when it is complete.
mv "$work/root" "$sysroot"
rm -rf "$work"
