#
# regent-node-places.sh
#	  What of a data directory lies elsewhere: tablespaces, and pg_wal where it is
#	  a symbolic link.  Sourced by regent-node after regent-node-copy.sh.
#
# A copy puts each of them beside where the node has it now, under the other one of
# two names, PATH and PATH.regent-b.  The links in the data directories say which
# belongs to which, so the exchange of the data directories alone swaps
# everything, and "unswap" takes everything back.  DIRECTORY.regent-places lists
# what a copy has begun to fill, for whoever cleans up after it.
#
# Removed is only the subdirectory of this server's version in a tablespace, and
# WAL; never what a data directory that stays has a link to.

# other_place PATH: sets $place
other_place() {
	case $1 in
	*.regent-b) place=${1%.regent-b} ;;
	*) place=$1.regent-b ;;
	esac
}

# $catalog_directory: what a server of this version has in a tablespace; after read_control
find_catalog_directory() {
	control_field 'Catalog version number:'
	read -r major <PG_VERSION
	catalog_directory=PG_${major}_$field
	case $field in
	'' | *[!0-9]*) catalog_directory=PG_unknown ;;
	esac
}

# plan_place FROM PATH OPTION: PATH is free, or will be; the words for pg_basebackup
# go to $place_words, one a line
plan_place() {
	case $1$2 in
	*=* | *"$nl"* | *\\*) fail tablespaces "the path of a tablespace has a character that pg_basebackup can't map: $1, $2" 'rebuild this node by hand' ;;
	/*) ;;
	*) fail tablespaces "a tablespace has no path of its own: $1" 'rebuild this node by hand' ;;
	esac
	[ -d "${2%/*}/" ] && [ -w "${2%/*}/" ] || fail no_permission "$2 is needed for the copy of what lies in $1 on $leader" "make ${2%/*} on this host and let $(id -un) write in it"
	if [ -e "$2" ] || [ -L "$2" ]; then
		[ -d "$2" ] && [ -O "$2" ] && [ ! -L "$2" ] && [ -z "$(ls -A "$2")" ] ||
			fail not_empty "$2, where the copy would go, is not empty" 'look at it and move it away'
	fi
	places="$places$2$nl"
	place_words="$place_words$3$nl"
}

# A place that is a mount point by itself has nothing beside it.
check_place() {
	! mountpoint -q "$1" || fail mount_point "$1 is a mount point: there is no room beside it on the same disk" "move it one level down, and correct the link"
}

# plan_space OID PATH-ON-THE-SOURCE
plan_space() {
	if [ -L "pg_tblspc/$1" ]; then
		own_place=$(readlink "pg_tblspc/$1")
		check_place "$own_place"
		other_place "$own_place"
		count_space "$own_place"
	else
		place=$2
	fi
	plan_place "$2" "$place" "--tablespace-mapping=$2=$place"
	space_count=$((space_count + 1))
}

# What lies on another disk is checked there, by what the old one takes.
count_space() {
	[ "$(stat -L -c %d "$1" 2>/dev/null)" != "$(stat -c %d .)" ] || return 0
	apart=true
	place_size=$(du -sb "$1/" 2>/dev/null | {
		read -r size _
		echo "${size:-0}"
	})
	total=$((total > place_size ? total - place_size : 0))
	disk=$(stat -f -c '%S %a' "${1%/*}/") || return 0
	[ $((place_size + 67108864)) -le $((${disk% *} * ${disk#* })) ] ||
		fail no_space "the copy needs $((place_size + 67108864)) bytes beside $1, $((${disk% *} * ${disk#* })) are free" 'free some space there'
}

# plan_places: where the parts of the copy go; $total may become less by what does
# not lie beside the data directory.
plan_places() {
	places= place_words= space_count=1 apart=false
	spaces=$(source_psql "dbname=$source_database" "SELECT oid::text || ' ' || pg_tablespace_location(oid) FROM pg_tablespace
		WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid") || {
		for link in pg_tblspc/*; do
			[ ! -L "$link" ] || fail tablespaces "$real has tablespaces, and those of $leader can't be asked for: $spaces" "pg_hba.conf of every node: host $source_database $user ADDRESS-OF-THE-NODES scram-sha-256"
		done
		spaces=
	}
	while read -r oid location; do
		[ -z "$oid" ] || plan_space "$oid" "$location"
	done <<END
$spaces
END
	if [ -L pg_wal ]; then
		own_place=$(readlink -f pg_wal) || own_place=$(readlink pg_wal)
		check_place "$own_place"
		other_place "$own_place"
		plan_place "$own_place" "$place" "--waldir=$place"
	fi
	rm -f -- "$real.regent-places"
	[ -z "$places" ] || {
		printf '%s' "$places" >"$real.regent-places" && sync "$real.regent-places"
	} || fail no_space "can't write beside $real" 'free some space'
}

# remove_place PATH KEPT...: unless one of the directories KEPT has a link to it
remove_place() {
	place=$1
	shift
	case $place in
	/?*/?*) ;;
	*) return 0 ;;
	esac
	[ -d "$place" ] && [ ! -L "$place" ] && [ -O "$place" ] || return 0
	for keeper in "$@"; do
		for link in "$keeper"/pg_tblspc/* "$keeper/pg_wal"; do
			[ ! "$link" -ef "$place" ] || return 0
		done
	done
	rm -rf --one-file-system -- "$place/$catalog_directory"
	if [ -d "$place/archive_status" ]; then
		rm -rf --one-file-system -- "$place/archive_status"
		find "$place" -maxdepth 1 -type f -regex '.*/\([0-9A-F]+\(\.[0-9A-F]+\.backup\|\.partial\|\.history\)?\|xlogtemp\.[0-9]+\|RECOVERYXLOG\|RECOVERYHISTORY\)' -delete
	fi
	rmdir -- "$place" 2>/dev/null || :
}

# remove_places DIRECTORY KEPT...: what DIRECTORY has links to
remove_places() {
	removed_directory=$1
	shift
	for removed_link in "$removed_directory"/pg_tblspc/* "$removed_directory/pg_wal"; do
		[ -L "$removed_link" ] || continue
		removed_place=$(readlink "$removed_link")
		remove_place "$removed_place" "$@"
	done
}

# What a copy that was not swapped in has filled, whole or not.
remove_copied_places() {
	remove_places "$new" "$real" "$old"
	[ -r "$real.regent-places" ] || return 0
	while IFS= read -r listed; do
		remove_place "$listed" "$real" "$old"
	done <"$real.regent-places"
	rm -f -- "$real.regent-places"
}
