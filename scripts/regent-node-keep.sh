#
# regent-node-keep.sh
#	  Keeping the WAL beyond the fork: keep-diverged.  Sourced by regent-node.
#
# What a deposed leader wrote beyond the fork is given up when the node comes
# back.  Before that, the segments and a list of what they changed go to
# DIRECTORY.regent-diverged/TERM: somebody may want to know what was lost, or have
# it back by hand.  The three newest terms are kept, and at most 1 GiB of WAL each.
#
keep_terms=3
keep_bytes=1073741824

# ---- the list -----------------------------------------------------------

# The list: by resource manager, by relation, and every commit with its time.  There
# may be millions of lines, so most of them meet no regular expression.
summarize='
{
	if (substr($0, 1, 6) != "rmgr: ") next
	rest = substr($0, 7)
	rmgr = substr(rest, 1, index(rest, " ") - 1)
	records++
	rmgrs[rmgr]++
	line = $0
	while ((at = index(rest, ": rel ")) > 0) {
		rest = substr(rest, at + 6)
		relations[substr(rest, 1, index(rest, " ") - 1)]++
	}
	if (rmgr == "Transaction" && match($0, /desc: COMMIT(_PREPARED)? .*/)) {
		commits++
		if (commits <= 100000) {
			what = substr($0, RSTART + 6)
			sub(/^COMMIT(_PREPARED)? /, "", what)
			sub(/;.*/, "", what)
			match($0, /tx: *[0-9]+/)
			xid = substr($0, RSTART, RLENGTH)
			sub(/tx: */, "", xid)
			list[commits] = xid " " what
		}
	}
}
END {
	if (match(line, /len \(rec\/tot\): *[0-9]+\/ *[0-9]+/)) {
		split(substr(line, RSTART, RLENGTH), length_of, "/")
		total = length_of[3] + 0
	}
	if (match(line, /lsn: [0-9A-F\/]+/)) last = substr(line, RSTART + 5, RLENGTH - 5)
	print "last " (last == "" ? "-" : last) " " total + 0
	print "transactions " commits + 0
	print "records " records + 0
	fflush()
	for (name in rmgrs) print "rmgr " name " " rmgrs[name] | "sort"
	close("sort")
	for (name in relations) print "relation " name " " relations[name] | "sort -k 3nr"
	close("sort -k 3nr")
	for (i = 1; i <= commits && i <= 100000; i++) print "commit " list[i]
	if (commits > 100000) print "commits cut: the first 100000 are listed"
}'

# Where the list begins: sets $listing_from and $listing_timeline.
find_listing_begin() {
	begin=$fork listing_timeline=$own_timeline
	[ "$fork_timeline" = "$own_timeline" ] || for entry in $own_history; do
		[ "${entry#*:}" -le "$begin" ] || begin=${entry#*:}
	done
	lsn_text $begin
	listing_from=$lsn
}

# The list of what lies beyond the fork, made beside whatever else is done meanwhile
# from the WAL that a rewind has put aside.
start_listing() {
	timeout -k 2 300 "$bin_directory/pg_waldump" -p "${saved_wal:-pg_wal}" -t "$listing_timeline" -s "$listing_from" 2>/dev/null </dev/null 8>&- |
		awk "$summarize" >"$real.regent-listing" 2>/dev/null 8>&- &
	listing_pid=$!
}

stop_listing() {
	[ -z "$listing_pid" ] || kill -s KILL "$listing_pid" 2>/dev/null
	listing_pid=
	rm -f -- "$real.regent-listing"
}
listing_pid=

# read_listing PHASE: waits for it; sets $listing, $listing_cut, $diverged_transactions
# and $listed_to
read_listing() {
	tell_while "$listing_pid" "$1"
	listing=$(cat "$real.regent-listing" 2>/dev/null)
	listing_pid=
	stop_listing
	listed_to=0 listing_cut=false
	case $listing in 'last '*) ;; *) listing='last - 0' ;; esac
	read -r _ last_lsn last_length <<END
$listing
END
	lsn_number "$last_lsn"
	[ "$number" = 0 ] || {
		find_record_end "$number" "$last_length"
		listed_to=$end
	}
	diverged_transactions=${listing#*transactions }
	diverged_transactions=${diverged_transactions%%"$nl"*}
	case $diverged_transactions in '' | *[!0-9]*) diverged_transactions= ;; esac
}

cut_listing() {
	listing_cut=true diverged_transactions=
}

# Reads all WAL beyond the fork; sets $diverged_to, $diverged_bytes, too.
read_diverged() {
	find_listing_begin
	start_listing
	read_listing keep
	diverged_to=$listed_to
	[ "$diverged_to" -ge "$fork" ] || diverged_to=$fork
	# what was replayed or written is there, whatever could be read
	if [ "$diverged_to" -lt "$own_end" ]; then
		diverged_to=$own_end
		cut_listing
	fi
	diverged_bytes=$((diverged_to - fork))
}

# keep_segment DIRECTORY: copies $segment, or links what a rewind has saved already,
# as far as cap and disk allow; else $cut says why
keep_segment() {
	[ ! -e "$1/$segment" ] || return 0
	if [ $((kept_bytes + segment_size)) -gt $keep_bytes ]; then
		cut="more than $keep_bytes bytes"
		return 1
	fi
	if [ -n "$saved_wal" ] && ln -- "$saved_wal/$segment" "$1/$segment" 2>/dev/null; then
		kept_bytes=$((kept_bytes + segment_size))
		return 0
	fi
	disk=$(stat -f -c '%S %a' "$1") || disk='0 0'
	if [ $((${disk% *} * ${disk#* })) -lt $((segment_size * 4 + 67108864)) ]; then
		cut='no space'
	elif ! cp --reflink=auto -- "pg_wal/$segment" "$1/$segment"; then
		rm -f -- "$1/$segment"
		cut='it could not be copied'
	else
		kept_bytes=$((kept_bytes + segment_size))
		return 0
	fi
	return 1
}

saved_wal=

# The segments from the fork to the end.
keep_segments() {
	kept_bytes=0
	segment_number=$((fork / segment_size))
	while [ $segment_number -le $(((diverged_to - 1) / segment_size)) ]; do
		segment_name $segment_number
		segment_number=$((segment_number + 1))
		if [ ! -e "pg_wal/$segment" ]; then
			printf 'missing %s\n' "$segment"
		elif ! keep_segment "$1"; then
			printf 'cut at %s: %s\n' "$segment" "$cut"
			break
		fi
	done
}

# Complete segments before the fork that the archive never got: the new leader,
# then a standby, takes them for archived.
keep_unarchived() {
	for ready in pg_wal/archive_status/*.ready; do
		segment=${ready##*/}
		segment=${segment%.ready}
		[ ${#segment} = 24 ] && [ -e "pg_wal/$segment" ] || continue
		if keep_segment "$1"; then
			printf 'not_archived %s\n' "$segment"
		else
			printf 'not_archived %s, and not kept: %s\n' "$segment" "$cut"
		fi
	done
}

# write_summary SOURCE_TIMELINE: what was given up, and what of it is kept
write_summary() {
	lsn_text "$fork"
	printf '%s\n' 'pg_regent diverged 1' "node $node" "system_identifier $system_identifier" "fork $lsn timeline $fork_timeline"
	lsn_text "$diverged_to"
	printf '%s\n' "end $lsn timeline $own_timeline" "bytes $diverged_bytes" "source_timeline $1"
	write_listing
}

write_listing() {
	! $listing_cut || printf '%s\n' 'list cut: not all WAL could be read, or not in time'
	printf '%s\n' "$listing"
}

# Only the newest terms stay; never the one that was just written.
drop_old_diverged() {
	kept_now=$1
	set -- "$diverged"/*
	[ $# -gt $keep_terms ] || return 0
	for kept_term in $(ls -1 "$diverged" | grep -x '[0-9]*' | sort -n | head -n -$keep_terms); do
		[ "$kept_term" != "$kept_now" ] && [ -d "$diverged/$kept_term" ] && [ ! -L "$diverged/$kept_term" ] && [ -O "$diverged/$kept_term" ] || continue
		rm -rf --one-file-system -- "${diverged:?}/$kept_term"
	done
}

# keep_diverged TERM SOURCE_TIMELINE: after find_fork.  $kept is the directory, or
# empty when there was nothing to keep.  False: $keep_error says why.
keep_diverged() {
	kept= diverged_to=$fork diverged_bytes=0 diverged_transactions=0
	[ "$fork" != $goes_on ] || return 0
	read_diverged
	keep_wal "$1" "$2"
}

# keep_first TERM SOURCE_TIMELINE: the same in two steps, for a rewind, which has the WAL
# put aside and knows its end.  The list is made from there while pg_rewind works, and
# keep_rest adds it; the caller syncs it.
keep_first() {
	kept= diverged_to=$own_end diverged_bytes=$((own_end - fork)) diverged_transactions=
	find_listing_begin
	start_listing
	listing=$unlisted listing_cut=false
	keep_wal "$1" "$2"
}
unlisted='list missing: the rewind was interrupted before it was made'

keep_rest() {
	[ -n "$kept" ] || return 0
	grep -qxF "$unlisted" "$kept/changes" || return 0
	[ -n "$listing_pid" ] || start_listing
	read_listing rewind
	[ "$listed_to" -ge "$diverged_to" ] || cut_listing
	while IFS= read -r line; do
		if [ "$line" = "$unlisted" ]; then
			write_listing
		else
			printf '%s\n' "$line"
		fi
	done <"$kept/changes" >"$kept/changes.regent-tmp" &&
		mv -T "$kept/changes.regent-tmp" "$kept/changes" || give_up no_space "can't write in $kept" 'free some space'
}

# A rewind syncs what it has put aside before anything is changed.
keep_sync() {
	if [ -n "$saved_wal" ]; then
		sync "$part/changes" "$part"
	else
		(sync_tree "$part")
	fi
}

# keep_wal TERM SOURCE_TIMELINE
keep_wal() {
	[ "$diverged_bytes" -gt 0 ] || return 0
	part=$diverged/$1.part
	keep_error="can't write $diverged"
	mkdir -p -- "$diverged" 2>/dev/null && [ -O "$diverged" ] && [ ! -L "$diverged" ] &&
		rm -rf --one-file-system -- "$part" && mkdir -- "$part" || return 1
	{
		write_summary "$2" && keep_segments "$part" && keep_unarchived "$part"
	} >"$part/changes" && keep_sync >/dev/null || return 1
	rm -rf --one-file-system -- "${diverged:?}/$1"
	mv -T -- "$part" "$diverged/$1" && sync "$diverged" || return 1
	kept=$diverged/$1
	drop_old_diverged "$1"
}

keep_failed() {
	fail no_space "$keep_error" "free some space, and see that $(id -un) may write there"
}

put_diverged() {
	if [ "${diverged_bytes:-0}" -gt 0 ]; then
		lsn_text "$fork"
		put diverged_from "$lsn"
		lsn_text "$diverged_to"
		put diverged_to "$lsn"
	else
		put diverged_from ''
		put diverged_to ''
	fi
	put_raw diverged_bytes "${diverged_bytes-}"
	put_raw diverged_transactions "${diverged_transactions-}"
	put kept "${kept-}"
}

# keep-diverged TERM [SOURCE...]: without the words of a source the history file
# of timeline TERM must have come to this node already.
verb_keep_diverged() {
	term=$1
	shift
	[ $# = 0 ] || check_source "$@"
	abort=exit
	open_own_directory
	lock_siblings
	check_state_of_node
	check_not_primary
	if $rewinding; then
		read_mark || fail half_rewound "$real is half rewound, and what is needed to go on is not beside it" "regent-node $node copy ..."
	else
		read_own_wal || fail no_history "the timelines of $real can't be read" 'see pg_controldata and the history files in pg_wal'
		source_timeline=$term
		[ $# = 0 ] || check_source_system
		[ $# = 0 ] || source_timeline=$source_now
		read_source_history "$source_timeline" ||
			fail no_history "the history of timeline $source_timeline is not known here" "regent-node $node keep-diverged TERM LEADER HOST PORT USER PASSFILE|- SLOT"
		find_fork "$source_timeline" || fail no_history 'the two histories have nothing in common' 'this is another cluster, or history files are missing'
		keep_diverged "$term" "$source_timeline" || keep_failed
	fi
	begin_answer true
	put_diverged
	end_answer
}
