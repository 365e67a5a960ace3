#
# regent-node-clone.sh
#	  A new node: clone makes its data directory from nothing.  Sourced by
#	  regent-node, after regent-node-copy.sh.
#
# A clone never removes or changes what it finds.  The directory has to be absent or
# empty; whatever else stands there is refused with what it is.  It works in
# DIRECTORY.regent-new, and only what is complete and can be started gets the node's
# name.  DIRECTORY.regent-clone marks that, with its inode, until the server has been
# started: a clone that was interrupted after it goes on from there.

# ---- what is there -----------------------------------------------------------

# The directory's place, without entering it: it need not exist yet.
clone_place() {
	real=$data_directory new=$real.regent-new old=$real.regent-old marker=$real.regent-copy
	clone_mark=$real.regent-clone old_there=false
	parent=${real%/*}
	[ -n "$parent" ] || fail unsafe_directory "$real lies directly under /" "choose a data_directory for [$node] that is one level down"
	[ ! -L "$real" ] || fail symlink "$real is a symbolic link" "write the real path as data_directory of [$node] in $config"
	cd -P -- "$parent" 2>/dev/null ||
		fail no_directory "there is no directory $parent" "make it, for $(id -un): install -d -m 700 -o $(id -un) $parent"
	[ "$PWD" = "$parent" ] || fail symlink "$parent leads to $PWD" "write the real path as data_directory of [$node] in $config"
	[ -w . ] || fail no_permission "$(id -un) can't write in $parent" "chown $(id -un) $parent"
	! mountpoint -q "$real" || fail mount_point "$real is a mount point: no directory can be renamed to it" "choose a data_directory for [$node] below it"
	[ ! -e "$old" ] || fail unsettled "$old is there: a rebuild of this node has not come to its end" "look at it, and move it away"
}

# Something stands there: what, and what can be done?  Nothing of it is touched.
refuse_directory() {
	cd -P -- "$real" 2>/dev/null || fail no_permission "$(id -un) can't enter $real" 'see its owner and its mode'
	[ -e PG_VERSION ] || [ -e global/pg_control ] ||
		fail not_empty "$real is not empty, and no data directory of PostgreSQL" "look at it; a new node needs a directory that is empty or absent"
	scan_server
	find_postmaster
	read_control .
	[ $postmaster = absent ] || running=', and a server runs there'
	[ "$system_identifier" != "$source_system" ] ||
		fail not_empty "it holds data of this very cluster already${running-}" "regent rebuild $node, then regent node add $node; or move $real away"
	fail other_system "it holds another cluster's data${running-}: system identifier ${system_identifier:-unknown} in $real, not $source_system" "see what it is; move it away yourself if it is worth nothing, or choose another data_directory"
}

# A clone was interrupted when the directory had its name already.
is_cloned() {
	[ -e "$clone_mark" ] && [ -d "$real" ] || return 1
	{ read -r inode <"$clone_mark"; } 2>/dev/null
	[ "$inode" = "$(stat -c '%d:%i' "$real")" ]
}

is_empty() {
	for file in "$1"/* "$1"/.[!.]* "$1"/..?*; do
		[ ! -e "$file" ] && [ ! -L "$file" ] || return 1
	done
}

check_clone_directory() {
	[ -e "$real" ] || return 0
	[ -d "$real" ] && [ -r "$real" ] && is_empty "$real" || refuse_directory
	[ -O "$real" ] || fail wrong_user "$real does not belong to $(id -un)" "chown $(id -un) $real"
}

# ---- what is needed ----------------------------------------------------------

# ask_source STATEMENT: $reply, over the replication protocol; errors as SQLSTATE
ask_source() {
	reply=$(timeout -k 2 15 "$bin_directory/psql" -w -X -A -t -v VERBOSITY=sqlstate -d "$conninfo dbname=replication replication=true" -c "$1" 2>&1 </dev/null)
}

# For ask_size: the database of the extension, as the source itself says; there is no directory yet to ask.
find_database() {
	source_database=postgres
	ask_source 'SHOW regent.database' || return 0
	case $reply in
	'' | *[!A-Za-z0-9_.-]*) ;;
	*) source_database=$reply ;;
	esac
}

check_programs() {
	for program in postgres pg_ctl pg_basebackup psql; do
		[ -x "$bin_directory/$program" ] || fail config "$bin_directory has no $program" "install PostgreSQL's server there, or correct bin_directory of [$node] in $config"
	done
	own_version=$("$bin_directory/postgres" -V 2>/dev/null)
	own_version=${own_version##*'(PostgreSQL) '}
	own_version=${own_version%%[!0-9]*}
	ask_source 'SHOW server_version_num' || fail source "can't ask $host:$source_port for its version: $reply" "see its log"
	[ "$own_version" = "${reply%????}" ] ||
		fail other_version "$bin_directory has PostgreSQL ${own_version:-unknown}, $leader runs ${reply%????}" "install the same major version on this host, or correct bin_directory of [$node] in $config"
	library=$("$bin_directory/pg_config" --pkglibdir 2>/dev/null) || library=
	[ -n "$library" ] && [ -d "$library" ] || library=${bin_directory%/bin}/lib
	[ ! -d "$library" ] || [ -e "$library/pg_regent.so" ] ||
		fail no_extension "$library has no pg_regent.so" 'install the extension on this host: make -C extension install'
}

# The port that people wrote into node.conf must be the one that the watchdog knows.
check_own_port() {
	[ -z "$port" ] || [ "$port" = "$own_port" ] ||
		fail config "$config says port $port for [$node], regent.conf says $own_port" 'make them equal'
}

# They would lie where they lie on the leader, outside of our directories.  A source
# that doesn't tell is asked again by the base backup, with its first word.
check_tablespaces() {
	spaces=$(source_psql "dbname=$source_database" "SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')")
	case $spaces in
	0 | '' | *[!0-9]*) ;;
	*) fail tablespaces "$leader has tablespaces, which this version does not copy" 'make this node by hand with pg_basebackup --tablespace-mapping' ;;
	esac
}

# So a clone fills no place but its own directory.
remove_copied_places() {
	:
}

# The leader keeps WAL for the new node from before its copy begins.
reserve_slot() {
	ask_source "CREATE_REPLICATION_SLOT $slot PHYSICAL RESERVE_WAL" && return 0
	case $reply in
	*42710*) ;; # it is there already
	*) fail no_slot "can't make slot $slot on $leader: $reply" "see the log of $leader: max_replication_slots, the rights of $user" ;;
	esac
}

# ---- settings ----------------------------------------------------------------

# setting NAME: sets $value to what the server will start with
setting() {
	value=$("$bin_directory/postgres" -C "$1" -D "$new" -c "config_file=${config_file:-$new/postgresql.conf}" -c "data_directory=$new" 2>/dev/null) || value=
}

# Only where the settings came with the copy: the leader's own address is not ours.
own_addresses() {
	setting listen_addresses
	case $address:,$(printf %s "$value" | tr -d ' '), in
	/* | *,'*',* | *,0.0.0.0,* | *,::,* | *",$address,"*) ;;
	*) own_names="$own_names listen_addresses" own_settings="$own_settings${nl}listen_addresses = '$address'" ;;
	esac
}

# The leader's state under our name; the leader's settings with our name and port,
# unless node.conf names a file of ours; a standby of the leader.
dress_clone() {
	cd "$new" || copy_fail no_copy "can't enter $new" 'start it again'
	[ -n "$config_file" ] || [ -e postgresql.conf ] ||
		copy_fail no_config "the data directory of $leader holds no postgresql.conf" "write one on this host, with shared_preload_libraries = 'pg_regent', and name it as config_file of [$node] in $config"
	[ -z "$config_file" ] || [ -r "$config_file" ] ||
		copy_fail no_config "can't read $config_file" "write it, or correct config_file of [$node] in $config"
	state_file=missing
	take_state "$term" .
	own_names='regent.node_name port' own_settings="regent.node_name = '$node'${nl}port = $own_port"
	[ -n "$config_file" ] || own_addresses
	find_upstream
	dress_standby
	check_settings
	cd /
}

check_settings() {
	setting shared_preload_libraries
	case ,$(printf %s "$value" | tr -d ' "'), in
	*,pg_regent,*) ;;
	*) copy_fail not_loaded "shared_preload_libraries is \"$value\"" "set shared_preload_libraries = 'pg_regent' in ${config_file:-postgresql.conf of $leader}" ;;
	esac
	[ -n "$config_file" ] || return 0
	value=$("$bin_directory/postgres" -C data_directory -D "$new" -c "config_file=$config_file" 2>/dev/null)
	[ "$value" = "$new" ] || [ "$value" = "$real" ] ||
		copy_fail config "$config_file says data_directory = $value, $config says $real" 'make them equal'
}

# ---- clone -------------------------------------------------------------------

# Gives the copy the node's name.  What has appeared there meanwhile is not replaced.
put_in_place() {
	stat -c '%d:%i' "$new" >"$clone_mark" || copy_fail no_space "can't write $clone_mark" 'free some space'
	sync "$clone_mark"
	[ ! -e "$real" ] || rmdir -- "$real" || copy_fail not_empty "$real is not empty any more" 'see who writes there'
	mv -nT -- "$new" "$real" 2>/dev/null
	[ ! -e "$new" ] || copy_fail not_moved "can't rename $new to $real" 'see the permissions there'
	sync "$parent"
	rm -f -- "$real.regent-copy-log"
}

make_clone() {
	check_clone_directory
	check_programs
	ask_size
	check_tablespaces
	reserve_slot
	copy_pid= place_words= space_count=1 unchecked=false
	cd /
	remove_tree "$new"
	rm -f -- "$marker" "$clone_mark"
	abort=copy_abort
	trap copy_abort HUP INT TERM PIPE
	trap copy_stop EXIT
	check_space
	copy_start 0
	copy_follow
	[ $copy_status = 0 ] || copy_fail copy_failed "$(last_error "$real.regent-copy-log")" 'see the message; nothing was left behind'
	system_identifier=
	check_copy
	progress copying "$bytes" "$total"
	dress_clone
	trap - EXIT
	trap '' HUP INT TERM PIPE
	put_in_place
}

verb_clone() {
	term=$1 address=$2 own_port=$3
	shift 3
	check_source "$@"
	check_number port "$own_port"
	check_own_port
	clone_place
	lock_siblings
	system_identifier= bytes=0
	check_source_system
	source_system=${reply%%|*}
	already=true
	if ! is_cloned; then
		already=false
		make_clone
	fi
	open_own_directory
	scan_server
	find_postmaster
	[ $postmaster != absent ] || start_server
	rm -f -- "$clone_mark"
	answer_running
}
