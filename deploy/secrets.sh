#!/bin/sh
# Makes the files that docker-compose.yml names as secrets, in the folder secrets/ beside it. What is there already
# stays; a variable of the same name in capitals (POSTGRES_PASSWORD …) is taken in place of a made-up value.
#
# The folder is closed to other users of this machine. The files in it are not: each container that gets one reads it
# as a user of its own.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets
chmod 700 secrets

random() {
	od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# keep NAME VALUE: unless the file has content, or the environment a value.
keep() {
	variable=$(echo "$1" | tr '[:lower:]' '[:upper:]')
	eval "given=\${$variable:-}"
	if [ ! -s "secrets/$1" ]; then
		printf '%s' "${given:-$2}" >"secrets/$1"
		if [ -n "${given:-$2}" ]; then echo "made secrets/$1"; fi
	fi
	chmod 644 "secrets/$1"
}

umask 022
keep postgres_password "$(random 24)"
keep redis_password "$(random 24)"
keep secret_key "$(random 32)"
keep grafana_password "$(random 12)"
FLOWER_LOGIN=${FLOWER_BASIC_AUTH:-}
keep flower_login "penstock:$(random 12)"
keep anthropic_api_key ""
keep openai_api_key ""
keep api_keys ""

# One pair of keys in two forms: as clients of S3 read it, and as the store does.
if [ ! -s secrets/object_store ]; then
	id=$(random 8) key=$(random 24)
	printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$id" "$key" >secrets/object_store
	cat >secrets/object_store_identities <<END
{"identities": [{"name": "penstock", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$id", "secretKey": "$key"}]}]}
END
	echo "made secrets/object_store"
fi
chmod 644 secrets/object_store secrets/object_store_identities
