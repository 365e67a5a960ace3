#
# regent-node-wal.sh
#	  Positions and segments, where two histories fork, and the WAL that must be
#	  there.  Sourced by regent-node.
#

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

# find_record_end LSN LENGTH: sets $end.  Each page begins with a header, the first of
# a segment with a longer one.
find_record_end() {
	end=$1 length=$2
	while [ "$length" -gt $((8192 - end % 8192)) ]; do
		length=$((length - 8192 + end % 8192)) end=$((end + 8192 - end % 8192))
		if [ $((end % segment_size)) = 0 ]; then
			end=$((end + 40))
		else
			end=$((end + 24))
		fi
	done
	end=$(((end + length + 7) / 8 * 8))
}

# find_record LSN: sets $end of the record that begins there, on $listing_timeline.  False:
# it can't be read, or fills its segment.
find_record() {
	reply=$("$bin_directory/pg_waldump" -p pg_wal -t "$listing_timeline" -s "$1" -n 1 2>/dev/null </dev/null 8>&-) || return 1
	case $reply in
	*'desc: SWITCH'*) return 1 ;;
	*'len (rec/tot):'*/*,*' lsn: '*,*) ;;
	*) return 1 ;;
	esac
	lsn=${reply#*' lsn: '}
	lsn_number "${lsn%%,*}"
	found=$number
	lsn_number "$1"
	[ "$found" = "$number" ] || return 1
	reply=${reply#*'len (rec/tot):'}
	reply=${reply#*/}
	trim "${reply%%,*}"
	find_record_end "$number" "$trimmed"
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

# The source's history, from itself (it may have told it already), or the one of
# timeline $1 that we have.
told_history=
read_source_history() {
	source_history=
	[ "$1" != 1 ] || return 0
	if [ -n "$told_history" ]; then
		reply=$told_history
	elif [ -n "${conninfo-}" ]; then
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
restore_known=false
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
# differ for pg_rewind; sets $common_checkpoint, where
# replay begins ($common_redo), and $first_segment.  False: $segment is missing.
find_checkpoint() {
	common_checkpoint= first_segment=$(((fork - 1) / segment_size))
	while [ $first_segment -ge 1 ]; do
		segment_name $first_segment
		need_segment "$segment" || return 1
		# of the segment of the fork only what both have
		read_to=$(((first_segment + 1) * segment_size))
		[ $read_to -le "$fork" ] || read_to=$fork
		lsn_text $read_to
		for found in $("$bin_directory/pg_waldump" -r XLOG -e "$lsn" "pg_wal/$segment" 2>/dev/null |
			sed -n 's/.* lsn: \([0-9A-F/]*\), .* desc: CHECKPOINT_[A-Z]* redo \([0-9A-F/]*\);.*/\1:\2/p'); do
			lsn_number "${found%:*}"
			[ "$number" -lt "$fork" ] || continue
			common_checkpoint=$number
			lsn_number "${found#*:}"
			common_redo=$number
		done
		[ -z "$common_checkpoint" ] || return 0
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
