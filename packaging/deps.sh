#!/bin/sh
# Install what is missing to build and test ward on Debian 12 and 13. Does nothing when all is there.
#
#	deps.sh [build] [test] [lint] [interop]		default: build test
#
# On Debian 12 SQLCipher 4.6 comes from backports, and nothing else does.
set -eu

build="build-essential pkg-config libevent-dev libsodium-dev libsignal-protocol-c-dev libssl-dev
 libcurl4-openssl-dev libprotobuf-c-dev protobuf-c-compiler libseccomp-dev libjansson-dev
 libqrencode-dev nettle-dev libbsd-dev zlib1g-dev linux-libc-dev"
test="libcmocka-dev python3 python3-protobuf protobuf-compiler ca-certificates"
lint="clang clang-format clang-tidy cppcheck mandoc valgrind llvm"
interop="nodejs npm"

. /etc/os-release
case "${VERSION_CODENAME:-}" in
bookworm) lint="$lint libclang-rt-14-dev" ;;
trixie) lint="$lint libclang-rt-19-dev" ;;
*) echo "deps: ${PRETTY_NAME:-this system} is neither Debian 12 nor 13; install by hand: $build libsqlcipher-dev (4.6 or later) $test" >&2
   exit 1 ;;
esac

have() {
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

wanted=""
for group in ${*:-build test}; do
	case "$group" in
	build) wanted="$wanted $build" ;;
	test) wanted="$wanted $test" ;;
	lint) wanted="$wanted $lint" ;;
	interop)
		# an own Node.js of version 20 or later will do as well
		if node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null &&
		    command -v npm >/dev/null 2>&1; then
			continue
		fi
		wanted="$wanted $interop" ;;
	*) echo "deps: unknown group '$group' (build, test, lint, interop)" >&2; exit 64 ;;
	esac
done

missing=""
for p in $wanted; do
	have "$p" || missing="$missing $p"
done
sqlcipher=""
case " $wanted " in
*" libsqlcipher-dev "* | *" libevent-dev "*)
	if ! have libsqlcipher-dev ||
	    ! dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libsqlcipher-dev)" ge 4.6; then
		sqlcipher=libsqlcipher-dev
	fi ;;
esac
if [ -z "$missing$sqlcipher" ]; then
	echo "deps: nothing to do"
	exit 0
fi

sudo=""
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "deps: not root and no sudo; as root run: apt-get install$missing $sqlcipher" >&2
		exit 1
	}
	sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
apt() {
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
	    -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >/dev/null
}

echo "deps: refreshing the package lists"
apt update
if [ -n "$missing" ]; then
	echo "deps: installing$missing"
	# shellcheck disable=SC2086
	apt install $missing
fi
if [ -n "$sqlcipher" ]; then
	if [ "$VERSION_CODENAME" = bookworm ]; then
		if ! apt-cache policy libsqlcipher-dev | grep -q bpo12; then
			echo "deps: adding bookworm-backports, for SQLCipher only"
			site=$(apt-get indextargets --format '$(SITE)' 'Identifier: Packages' \
			    "Codename: bookworm" | head -n 1)
			printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\nSigned-By: %s\n' \
			    "$site" /usr/share/keyrings/debian-archive-keyring.gpg |
			    $sudo tee /etc/apt/sources.list.d/bookworm-backports.sources >/dev/null
			apt update
		fi
		echo "deps: installing libsqlcipher-dev from bookworm-backports"
		apt install -t bookworm-backports libsqlcipher-dev
	else
		echo "deps: installing libsqlcipher-dev"
		apt install libsqlcipher-dev
	fi
fi
echo "deps: done"
