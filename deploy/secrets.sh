#!/bin/sh
# Makes the files that docker-compose.yml names as secrets, in secrets/ beside it, or in another folder: for systemd
# `sh deploy/secrets.sh /etc/penstock/secrets`. What is there already stays; a variable of the same name in capitals
# (POSTGRES_PASSWORD …) is taken in place of a made-up value.
#
# The folder is closed to other users of this machine. The files in it are not: each container that gets one reads it
# as a user of its own.
set -eu
folder=${1:-"$(dirname "$0")/../secrets"}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

random() {
	od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# keep NAME VALUE: unless the file has content, or the environment a value.
keep() {
	variable=$(echo "$1" | tr '[:lower:]' '[:upper:]')
	eval "given=\${$variable:-}"
	if [ ! -s "$1" ]; then
		printf '%s' "${given:-$2}" >"$1"
		if [ -n "${given:-$2}" ]; then echo "made $1"; fi
	fi
	chmod 644 "$1"
}

umask 022
keep postgres_password "$(random 24)"
keep redis_password "$(random 24)"
keep penstock_secret_key "$(random 32)"
keep grafana_password "$(random 12)"
FLOWER_LOGIN=${FLOWER_BASIC_AUTH:-}
keep flower_login "penstock:$(random 12)"
keep anthropic_api_key ""
keep openai_api_key ""
keep api_keys ""

# One pair of keys in two forms: as clients of S3 read it, and as the store does, which never gets those of another store.
if [ ! -s object_store ] || [ ! -s object_store_identities ]; then
	id=$(random 8) key=$(random 24)
	if [ ! -s object_store ]; then
		printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$id" "$key" >object_store
		echo "made object_store"
	fi
	cat >object_store_identities <<END
{"identities": [{"name": "penstock", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$id", "secretKey": "$key"}]}]}
END
	echo "made object_store_identities"
fi
chmod 644 object_store object_store_identities
