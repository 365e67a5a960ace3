#
# regent-node-delta.sh
#	  A copy of which only what differs is transferred: delta.  Sourced by
#	  regent-node after the others: it is a variation of regent-node-copy.sh.
#
# regent-copy makes DIRECTORY.regent-new out of DIRECTORY, which it only reads, and
# the source; what lies elsewhere goes to the places that a copy has
# (regent-node-places.sh).  What is left behind is what "copy" leaves behind, in every
# case: so swap, settle, unswap and discard follow as after a copy.
#
# A standby may run in the old directory meanwhile and goes on serving: what it
# changes while it is read either is taken as it was or comes from the source
# (watchdog/copy).
#
# ---- delta -------------------------------------------------------------------

# $program: beside this file once installed, in the build directory before
find_program() {
	for program in "$here/regent-copy" "$here/../watchdog/build/regent-copy"; do
		[ ! -x "$program" ] || return 0
	done
	cannot 'regent-copy is not installed on this host' 'make install-node'
}

# As regent-copy takes it
tablespace_word() {
	word="--tablespace=$1=$3"
}

# As for a copy, but in lines of our own: progress PHASE BYTES TOTAL, and the
# counts of the last one.
check_copy_progress() {
	while IFS= read -r line <&7; do
		line=$partial$line
		partial=
		case $line in
		'progress '*' '*' '*)
			line=${line#progress }
			phase=${line%% *} line=${line#* }
			bytes=${line% *} total=${line#* }
			;;
		'done '*) counts=$line ;;
		esac
	done
	partial=$partial$line
}

# regent-copy looks itself, at each disk: it knows what goes there, and whether the
# file system shares blocks.
check_space() {
	:
}

count_space() {
	:
}

# count NAME: sets $counted
count() {
	counted=${counts#*" $1="}
	counted=${counted%% *}
}

delta_fail() {
	detail=$(last_error "$real.regent-copy-log")
	case $copy_status in
	3) copy_fail not_possible "${detail#regent-copy: error: }" "regent rebuild $node: a copy needs none of this" ;;
	4) copy_fail no_space "${detail#regent-copy: error: }" 'free some space; the old directory is as it was' ;;
	*) copy_fail copy_failed "${detail#regent-copy: error: }" 'see the message; the old directory is as it was' ;;
	esac
}

verb_delta() {
	rate=${8-0} counts=
	find_program
	begin_copy "$1" "$2" "$3" "$4" "$5" "$6" "$7"
	find_database
	plan_places
	note_places
	watch_copy
	set -f
	IFS=$nl
	# shellcheck disable=SC2086
	set -- $place_words
	unset IFS
	set +f
	copy_run "$program" --source "$conninfo dbname=$source_database" --old "$real" --new "$new" \
		--label "pg_regent delta copy for $node" --rate "$rate" --progress "$@"
	copy_follow
	[ $copy_status = 0 ] && [ -n "$counts" ] || delta_fail
	count bytes
	bytes=$counted total=$counted
	complete_copy
	count transferred
	put_raw transferred "$counted"
	count kept
	put_raw reused "$counted"
	count changed
	put_raw changed_files "$counted"
	count files
	put_raw files "$counted"
	end_answer
}
