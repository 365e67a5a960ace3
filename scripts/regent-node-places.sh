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
# One that the node has not yet goes where node.conf puts it, or to the source's own
# path.  Removed is only the subdirectory of this server's version in a tablespace, and
# WAL; never what a data directory that stays has a link to.

# choose_place KEY: what people can do where node.conf has a say (KEY), and where it has none ('')
choose_place() {
	elsewhere=
	[ -z "$1" ] || elsewhere="choose another place in section [$node] of $config: $1PATH"
	place_hint="look at it and move it away${elsewhere:+, or $elsewhere}"
}

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

# tablespace_word OID FROM PATH: sets $word, as pg_basebackup takes it
tablespace_word() {
	word="--tablespace-mapping=$2=$3"
}

# check_free PATH WHAT: absent, or an empty directory of ours with room beside it
check_free() {
	[ ! -L "$1" ] || fail symlink "$1, where $2 would go, is a symbolic link to $(readlink "$1")" "$place_hint"
	[ -d "${1%/*}/" ] && [ -w "${1%/*}/" ] || fail no_permission "$1 is needed for $2, and $(id -un) can't write in ${1%/*}" "make ${1%/*} on this host and let $(id -un) write in it${elsewhere:+, or $elsewhere}"
	[ -e "$1" ] || return 0
	[ -O "$1" ] || fail wrong_user "$1, where $2 would go, does not belong to $(id -un)" "chown $(id -un) $1, if it is empty"
	check_place "$1"
	[ -d "$1" ] && [ -z "$(ls -A "$1")" ] || fail not_empty "$1, where $2 would go, is not empty" "$place_hint"
}

# check_apart PATH WHAT: neither in another part of the copy nor around one
check_apart() {
	canonical=$(readlink -f -- "${1%/*}/")/${1##*/}
	while IFS= read -r other; do
		other=$(readlink -f -- "${other%/}") && [ -n "$other" ] || continue
		case "$canonical/" in
		"$other"/*) fail unsafe_directory "$1, where $2 would go, lies in $other" "$place_hint" ;;
		esac
		case "$other/" in
		"$canonical"/*) fail unsafe_directory "$1, where $2 would go, is above $other" "$place_hint" ;;
		esac
	done <<END
$real
$new
$places
END
}

# plan_place WHAT FROM PATH WORD: PATH is free, or will be; WORD goes to $place_words, one a
# line, and a / after the path says that the directory was there before
plan_place() {
	case $2$3 in
	*=* | *"$nl"* | *\\*) fail tablespaces "the path of $1 has a character that pg_basebackup can't map: $2, $3" 'rebuild this node by hand' ;;
	esac
	case $3 in
	/*/*) ;;
	/*) fail unsafe_directory "$3, where $1 would go, lies directly under /" "$place_hint" ;;
	*) fail tablespaces "$1 has no path of its own: $3" 'rebuild this node by hand' ;;
	esac
	check_free "$3" "$1"
	check_apart "$3" "$1"
	places=$places$3
	[ ! -e "$3" ] || places=$places/
	places=$places$nl place_words="$place_words$4$nl"
}

# A place that is a mount point by itself has nothing beside it.
check_place() {
	! mountpoint -q "$1" || fail mount_point "$1 is a mount point: there is no room beside it on the same disk" 'take a directory one level below'
}

# mapped_place NAME PATH-ON-THE-SOURCE: sets $place as node.conf says, else to the same path
mapped_place() {
	choose_place "tablespace = $1="
	place=$2
	while IFS= read -r mapping; do
		case ${mapping%%=*} in
		"$1" | "$2") place=${mapping#*=} ;;
		esac
	done <<END
$tablespace_map
END
	bare_place
}

# No slash at the end of $place
bare_place() {
	while [ "$place" != / ] && [ "${place%/}" != "$place" ]; do
		place=${place%/}
	done
}

# plan_space OID NAME PATH-ON-THE-SOURCE
plan_space() {
	if [ -L "pg_tblspc/$1" ]; then
		own_place=$(readlink "pg_tblspc/$1")
		choose_place ''
		check_place "$own_place"
		other_place "$own_place"
		count_space "$own_place"
	else
		mapped_place "$2" "$3"
	fi
	tablespace_word "$1" "$3" "$place"
	plan_place "tablespace $2 of $leader" "$3" "$place" "$word"
	space_count=$((space_count + 1))
}

plan_wal() {
	[ -L pg_wal ] || return 0
	choose_place ''
	own_place=$(readlink -f pg_wal) || own_place=$(readlink pg_wal)
	check_place "$own_place"
	other_place "$own_place"
	plan_place pg_wal "$own_place" "$place" "--waldir=$place"
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

# Those of a node that is there already may be long out of date.
check_mappings() {
	:
}

# $spaces: a tablespace of the source a line, as OID, name and path
ask_spaces() {
	spaces=$(source_sql "SELECT concat_ws(chr(9), oid, spcname, pg_tablespace_location(oid)) FROM pg_tablespace
		WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid") && return 0
	for link in pg_tblspc/*; do
		[ ! -L "$link" ] || fail tablespaces "$real has tablespaces, and those of $leader can't be asked for: $spaces" "pg_hba.conf of every node: host $source_database $user ADDRESS-OF-THE-NODES scram-sha-256"
	done
	spaces=
}

# plan_places: where the parts of the copy go; $total may become less by what does
# not lie beside the data directory.
plan_places() {
	places= place_words= space_count=1 apart=false
	ask_spaces
	check_mappings
	while IFS=$tab read -r oid name location; do
		[ -z "$oid" ] || plan_space "$oid" "$name" "$location"
	done <<END
$spaces
END
	plan_wal
}

# From here on they are ours to clean up.
note_places() {
	rm -f -- "$real.regent-places"
	[ -z "$places" ] || {
		printf '%s' "$places" >"$real.regent-places" && sync "$real.regent-places"
	} || fail no_space "can't write beside $real" 'free some space'
}

# remove_place PATH KEPT...: unless one of the directories KEPT has a link to it; PATH/
# stays as an empty directory
remove_place() {
	place=${1%/} place_stays=${1#"${1%/}"}
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
		rm -rf --one-file-system -- "$place/archive_status" "$place/summaries" # those of PostgreSQL 17
		find "$place" -maxdepth 1 -type f -regex '.*/\([0-9A-F]+\(\.[0-9A-F]+\.backup\|\.partial\|\.history\)?\|xlogtemp\.[0-9]+\|RECOVERYXLOG\|RECOVERYHISTORY\|regent\.probe\)' -delete
	fi
	[ -n "$place_stays" ] || rmdir -- "$place" 2>/dev/null || :
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
	[ -r "$real.regent-places" ] || {
		remove_places "$new" "$real" "$old"
		return 0
	}
	while IFS= read -r listed; do
		remove_place "$listed" "$real" "$old"
	done <"$real.regent-places"
	rm -f -- "$real.regent-places"
}

# ---- ahead -------------------------------------------------------------------

# Where a copy is under way, or was killed, the places are in use by it.
answer_places() {
	copying=false
	if [ -e "$new" ] || [ -e "$old" ] || [ -e "$real.regent-places" ]; then
		copying=true
	else
		"$1"
	fi
	begin_answer true
	put_raw copying $copying
	put_raw new_node $is_new
	end_answer
}

# places LEADER HOST PORT USER PASSFILE|- SLOT: would a copy of that node find a place for each
# of its parts?  Nothing is made; how much they take is asked where nothing is there yet.
verb_places() {
	check_source "$@"
	is_new=false
	if [ ! -e "$data_directory" ] || [ -z "$(ls -A "$data_directory" 2>/dev/null)" ]; then
		# shellcheck source=regent-node-clone.sh
		. "$here/regent-node-clone.sh"
		is_new=true system_identifier=
		clone_place
		check_source_system
		source_system=${reply%%|*}
		look_at_source
		answer_places plan_clone
		return
	fi
	open_own_directory
	check_exchangeable
	read_control "$own_state"
	find_catalog_directory
	check_source_system
	find_database
	# what those take that are there is a matter of the copy
	count_space() { :; }
	answer_places plan_places
}
