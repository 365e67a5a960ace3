#
# regent-node-wal.sh
#	  Where two histories fork, the WAL beyond the fork, and keeping it.  Sourced
#	  by regent-node.
#
# What a deposed leader wrote beyond the fork is given up when the node comes
# back.  Before that, the segments and a list of what they changed go to
# DIRECTORY.regent-diverged/TERM: somebody may want to know what was lost, or have
# it back by hand.  The three newest terms are kept, and at most 1 GiB of WAL each.
#
keep_terms=3
keep_bytes=1073741824

# ---- positions and segments --------------------------------------------------

# lsn_number X/X: sets $number
lsn_number() {
	case $1 in
	*[!0-9A-Fa-f/]* | */*/* | /* | */ | '') number=0 ;;
	*/*) number=$((0x${1%/*} * 4294967296 + 0x${1#*/})) ;;
	*) number=0 ;;
	esac
}

# lsn_text NUMBER: sets $lsn
lsn_text() {
	lsn=$(printf '%X/%X' $(($1 / 4294967296)) $(($1 % 4294967296)))
}

# segment_name NUMBER: sets $segment.  Where a timeline changes within a segment,
# the newer one's file holds all of it.
segment_name() {
	segment_end=$((($1 + 1) * segment_size)) segment_timeline=$own_timeline
	for entry in $own_history; do
		[ "${entry#*:}" -ge $segment_end ] || continue
		segment_timeline=${entry%%:*}
		break
	done
	segment=$(printf '%08X%08X%08X' "$segment_timeline" $(($1 / (4294967296 / segment_size))) $(($1 % (4294967296 / segment_size))))
}

# ---- histories ---------------------------------------------------------------

# parse_history TEXT: sets $history, words TIMELINE:END, oldest first
parse_history() {
	history=
	while read -r parsed_timeline parsed_end _; do
		case $parsed_timeline in '' | *[!0-9]*) continue ;; esac
		lsn_number "$parsed_end"
		history="$history $parsed_timeline:$number"
	done <<END
$1
END
}

# read_own_wal: what the control file says about our WAL; sets $own_timeline,
# $own_history, $own_end (at least so far), $segment_size.  False: unknown.
read_own_wal() {
	read_control .
	own_timeline=$timeline
	lsn_number "$checkpoint_lsn"
	own_end=$number
	control_field 'Bytes per WAL segment:'
	segment_size=$field
	control_field 'Minimum recovery ending location:'
	lsn_number "$field"
	[ "$own_end" -ge "$number" ] || own_end=$number
	control_field "Min recovery ending loc's timeline:"
	[ "${field:-0}" -le "${own_timeline:-0}" ] || own_timeline=$field
	case $own_timeline:$segment_size in *[!0-9:]* | :* | *:) return 1 ;; esac
	own_history=
	[ "$own_timeline" != 1 ] || return 0
	hex8 "$own_timeline"
	[ -r "pg_wal/$hex.history" ] || return 1
	parse_history "$(cat "pg_wal/$hex.history")"
	own_history=$history
}

# The source's history, from itself, or the one of timeline $1 that we have.
read_source_history() {
	source_history=
	[ "$1" != 1 ] || return 0
	if [ -n "${conninfo-}" ]; then
		reply=$(source_psql "dbname=replication replication=true" "TIMELINE_HISTORY $1") || return 1
		reply=${reply#*|}
	else
		hex8 "$1"
		reply=$(cat "pg_wal/$hex.history" 2>/dev/null) || return 1
	fi
	parse_history "$reply"
	[ -n "$history" ] || return 1
	source_history=$history
}

# end_in TIMELINE HISTORY CURRENT: sets $end; $goes_on while it is not over, -1 if it was never there
end_in() {
	end=-1
	for entry in $2; do
		[ "${entry%%:*}" != "$1" ] || end=${entry#*:}
	done
	[ "$1" != "$3" ] || end=$goes_on
}

# find_fork SOURCE_TIMELINE: sets $fork and $fork_timeline.  False: nothing in
# common.  $goes_on: the source's history goes through ours, so far.
goes_on=9223372036854775807
find_fork() {
	fork= fork_timeline=
	for fork_entry in $own_history "$own_timeline:$goes_on"; do
		end_in "${fork_entry%%:*}" "$source_history" "$1"
		[ "$end" != -1 ] || break
		fork_timeline=${fork_entry%%:*} fork=${fork_entry#*:}
		[ "$end" != "$fork" ] || continue
		[ "$fork" -le "$end" ] || fork=$end
		break
	done
	[ -n "$fork" ]
}

# ---- segments that must be there ---------------------------------------------

# $restore_command: ours, or what a promise or a fence put aside.  The server's own
# is empty then, so that it does not fetch the old leader's WAL.  Looked for when
# a segment is missing: it takes four starts of a server's binary.
find_restore_command() {
	! $restore_known || return 0
	restore_known=true
	server_setting restore_command
	restore_command=$setting
	[ -z "$restore_command" ] || return 0
	server_setting regent.saved_restore_command
	case $setting in
	'') return 0 ;;
	-) ;;
	*)
		restore_command=$setting
		return 0
		;;
	esac
	# it stands in postgresql.conf: read that without postgresql.auto.conf
	aside=$(mktemp -d) || return 0
	server_setting restore_command -c "data_directory=$aside"
	rmdir "$aside"
	restore_command=$setting
}

restore_known=false

# Runs it as the server does: %f, %p, %r and %% are the only things replaced.
restore_segment() {
	restore_rest=$restore_command restore_line=
	while :; do
		case $restore_rest in
		*%*) ;;
		*) break ;;
		esac
		restore_line=$restore_line${restore_rest%%\%*}
		restore_rest=${restore_rest#*%}
		case $restore_rest in
		f*) restore_line=$restore_line$1 ;;
		p*) restore_line=${restore_line}pg_wal/RECOVERYXLOG ;;
		r*) restore_line=${restore_line}000000010000000000000001 ;;
		%*) restore_line=$restore_line% ;;
		*)
			restore_line=$restore_line%
			continue
			;;
		esac
		restore_rest=${restore_rest#?}
	done
	restore_line=$restore_line$restore_rest
	rm -f pg_wal/RECOVERYXLOG
	(
		unset LC_ALL SSH_CLIENT SSH_CONNECTION SSH_ORIGINAL_COMMAND
		PATH=/usr/local/sbin:/usr/local/bin:$PATH
		timeout -k 2 120 sh -c "$restore_line" </dev/null >/dev/null 2>&1 8>&- 9>&-
	)
	restore_status=$?
	[ $restore_status = 0 ] && [ "$(stat -c %s pg_wal/RECOVERYXLOG 2>/dev/null)" = "$segment_size" ] &&
		mv -T pg_wal/RECOVERYXLOG "pg_wal/$1" && return 0
	rm -f pg_wal/RECOVERYXLOG
	return 1
}

# need_segment NAME: there, or fetched from the archive; noted in $fetched
need_segment() {
	[ ! -e "pg_wal/$1" ] || return 0
	find_restore_command
	[ -n "$restore_command" ] || return 1
	progress recovery 0 0
	restore_segment "$1" || return 1
	fetched="$fetched $1"
}

# What was fetched for nothing.
forget_fetched() {
	for segment in $fetched; do
		rm -f "pg_wal/$segment"
	done
	fetched=
}

# find_checkpoint: the last one before the fork, which is where both began to
# differ for pg_rewind; sets $first_segment.  False: $segment is missing.
find_checkpoint() {
	first_segment=$(((fork - 1) / segment_size))
	while [ $first_segment -ge 1 ]; do
		segment_name $first_segment
		need_segment "$segment" || return 1
		for found in $("$bin_directory/pg_waldump" -r XLOG "pg_wal/$segment" 2>/dev/null |
			sed -n 's/.* lsn: \([0-9A-F/]*\), .* desc: CHECKPOINT_.*/\1/p'); do
			lsn_number "$found"
			[ "$number" -ge "$fork" ] || return 0
		done
		first_segment=$((first_segment - 1))
	done
	return 1
}

# All segments from the first one to our end are there.
need_all_segments() {
	last_segment=$((own_end / segment_size))
	segment_number=$first_segment
	while [ $segment_number -le $last_segment ]; do
		segment_name $segment_number
		need_segment "$segment" || {
			# the end may lie exactly where a segment begins that was never written
			[ $segment_number = $last_segment ] && [ $((own_end % segment_size)) = 0 ] && last_segment=$((last_segment - 1)) && return 0
			return 1
		}
		segment_number=$((segment_number + 1))
	done
}

# ---- keep-diverged -----------------------------------------------------------

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

# tell_while PID PHASE: a progress line a second while a child of ours works
tell_while() {
	now
	said=$now
	while kill -0 "$1" 2>/dev/null; do
		sleep 0.02
		now
		[ "$now" -ge $((said + 90)) ] || continue
		progress "$2" 0 0
		said=$now
	done
	wait "$1"
}

# The list of what lies beyond the fork, made beside whatever else is done meanwhile.
start_listing() {
	listing_cut=false listing_timeline=$own_timeline
	begin=$fork
	[ "$fork_timeline" = "$own_timeline" ] || for entry in $own_history; do
		[ "${entry#*:}" -le "$begin" ] || begin=${entry#*:}
	done
	lsn_text $begin
	timeout -k 2 300 "$bin_directory/pg_waldump" -p pg_wal -t "$own_timeline" -s "$lsn" 2>/dev/null </dev/null 8>&- |
		awk "$summarize" >"$real.regent-listing" 2>/dev/null 8>&- &
	listing_pid=$!
}

stop_listing() {
	[ -z "$listing_pid" ] || kill -s KILL "$listing_pid" 2>/dev/null
	listing_pid=
	rm -f -- "$real.regent-listing"
}
listing_pid=

# Reads all WAL beyond the fork; sets $diverged_to, $diverged_bytes,
# $diverged_transactions, and $listing.
read_diverged() {
	[ -n "$listing_pid" ] || start_listing
	tell_while "$listing_pid" keep
	listing=$(cat "$real.regent-listing" 2>/dev/null)
	listing_pid=
	stop_listing
	diverged_to=$fork
	case $listing in 'last '*) ;; *) listing='last - 0' ;; esac
	read -r _ last_lsn last_length <<END
$listing
END
	lsn_number "$last_lsn"
	[ "$number" = 0 ] || diverged_to=$(((number + last_length + 7) / 8 * 8))
	[ "$diverged_to" -ge "$fork" ] || diverged_to=$fork
	# what was replayed or written is there, whatever could be read
	if [ "$diverged_to" -lt "$own_end" ]; then
		diverged_to=$own_end listing_cut=true
	fi
	diverged_transactions=${listing#*transactions }
	diverged_transactions=${diverged_transactions%%"$nl"*}
	case $diverged_transactions in '' | *[!0-9]*) diverged_transactions= ;; esac
	! $listing_cut || diverged_transactions=
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
	! $listing_cut || printf '%s\n' 'list cut: not all WAL could be read, or not in time'
	printf '%s\n' "$listing"
}

# Only the newest terms stay; never the one that was just written.
drop_old_diverged() {
	for kept_term in $(ls -1 "$diverged" | grep -x '[0-9]*' | sort -n | head -n -$keep_terms); do
		[ "$kept_term" != "$1" ] && [ -d "$diverged/$kept_term" ] && [ ! -L "$diverged/$kept_term" ] && [ -O "$diverged/$kept_term" ] || continue
		rm -rf --one-file-system -- "${diverged:?}/$kept_term"
	done
}

# keep_diverged TERM SOURCE_TIMELINE: after find_fork.  $kept is the directory, or
# empty when there was nothing to keep.  False: $keep_error says why.
keep_diverged() {
	kept= diverged_to=$fork diverged_bytes=0 diverged_transactions=0
	[ "$fork" != $goes_on ] || return 0
	read_diverged
	[ "$diverged_bytes" -gt 0 ] || return 0
	part=$diverged/$1.part
	keep_error="can't write $diverged"
	mkdir -p -- "$diverged" 2>/dev/null && [ -O "$diverged" ] && [ ! -L "$diverged" ] &&
		rm -rf --one-file-system -- "$part" && mkdir -- "$part" || return 1
	{
		write_summary "$2" && keep_segments "$part" && keep_unarchived "$part"
	} >"$part/changes" && (sync_tree "$part") >/dev/null || return 1
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
