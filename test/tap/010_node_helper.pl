#
# regent-node against real servers, called directly and through sshd's forced
# command.  No regentd and no extension here: node state files are made by hand.
#
use strict;
use warnings;

use Digest::MD5;
use Fcntl qw(:flock);
use File::Find ();
use POSIX qw(:sys_wait_h);
use RegentCluster qw(wait_until spew free_port run_command);
use RegentCopy qw(hold_copy size_of syncfs_env);
use Test::More;
use Time::HiRes qw(sleep time);

my $uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
my $c    = RegentCluster->new(nodes => 2, extension => 0);
my $helper = "$RegentCluster::top/scripts/regent-node";
my $bindir = $RegentCluster::bindir;
my $system = control('n1', 'Database system identifier');
$c->sql('n1', 'CREATE TABLE regent_load (id bigint PRIMARY KEY)');

sub dir { return $c->node($_[0])->{dir} }

sub port { return $c->node($_[0])->{port} }

sub slurp { return RegentCluster::slurp($_[0]) // '' }

sub last_json
{
	my @lines = grep { /\S/ } split /\n/, $_[0];
	return @lines ? eval { JSON::PP->new->decode($lines[-1]) } : undef;
}

# helper(NAME, VERB, ARGS...): (status, decoded last line, all output)
sub helper
{
	my ($rc, $out, $err) = $c->helper(@_);
	return ($rc, last_json($out), $out . $err);
}

sub ssh_command
{
	return ('ssh', '-F', 'none', '-T', '-o', 'BatchMode=yes', '-o', "UserKnownHostsFile=$c->{dir}/known_hosts",
		'-o', 'IdentitiesOnly=yes', '-i', "$c->{dir}/id_ed25519", '-p', $c->{ssh_port}, '127.0.0.1');
}

# ssh(WORDS...): what comes after the host's name, as it is
sub ssh { return run_command([ ssh_command(), @_ ]) }

# State letter of a process; '' when there is none.
sub proc_state { return slurp("/proc/$_[0]/stat") =~ /\) (\S) [^)]*\z/ ? $1 : '' }

# A signal is sent long before a process that has no processor has stopped.
sub freeze
{
	my ($pid) = @_;
	kill 'STOP', $pid;
	wait_until(sub { proc_state($pid) eq 'T' }, 10, "process $pid to stand still");
}

# All processes below one.
sub descendants
{
	my ($root) = @_;
	my %children;
	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		my ($pid, $parent) = slurp($stat) =~ /^(\d+) \(.*\) \S (\d+) /s or next;
		push @{ $children{$parent} }, $pid;
	}
	my @found = @{ $children{$root} // [] };
	for (my $i = 0; $i < @found; $i++)
	{
		push @found, @{ $children{ $found[$i] } // [] };
	}
	return @found;
}

sub control
{
	my ($name, $label) = @_;
	my $out = `LC_ALL=C $bindir/pg_controldata -D '@{[ dir($name) ]}'`;
	return $out =~ /^\Q$label\E:\s*(.*)$/m ? $1 : undef;
}

# write_state(DIRECTORY, FIELD => VALUE, ...): a state file as the extension writes it
sub write_state
{
	my ($dir, %f) = @_;
	my $text = "pg_regent node state 1\n"
	  . "node $f{node}\nsystem_identifier $system\n"
	  . 'promise ' . ($f{promise} // '- -') . "\n"
	  . 'watchdog ' . ($f{watchdog} // "$uuid 3") . "\n"
	  . 'rule ' . ($f{rule} // '{"term":1,"seq":1,"leader":"n1","reason":"not \\"term\\":77"}') . "\n"
	  . "previous_rule -\n"
	  . 'pending_rule ' . ($f{pending} // '-') . "\n"
	  . 'followed ' . ($f{followed} // '1:1') . "\npromoting " . ($f{promoting} // '-')
	  . "\nunopened " . ($f{unopened} // '-') . "\n";
	spew("$dir/regent.state", $text);
	my ($sum) = split ' ', `cksum <'$dir/regent.state'`;
	spew("$dir/regent.state", "${text}checksum $sum\n");
	return;
}

sub state_line
{
	my ($name, $key) = @_;
	return slurp(dir($name) . '/regent.state') =~ /^\Q$key\E (.*)$/m ? $1 : undef;
}

# Is the checksum right?
sub state_is_good
{
	my ($name) = @_;
	my $text = slurp(dir($name) . '/regent.state');
	return 0 unless $text =~ /\A(.*\n)checksum (\d+)\n\z/s;
	my ($body, $sum) = ($1, $2);
	spew("$c->{dir}/sum", $body);
	my ($real) = split ' ', `cksum <'$c->{dir}/sum'`;
	return $real == $sum;
}

# ok_helper(NAME, VERB, ARGS...): answered ok; returns the answer
sub ok_helper
{
	my (@words) = @_;
	my ($rc, $answer, $all) = helper(@words);
	ok($rc == 0 && $answer && $answer->{ok}, "@words") or diag($all);
	return $answer // {};
}

# refused(ERROR, NAME, VERB, ARGS...)
sub refused
{
	my ($error, @words) = @_;
	my ($rc, $answer, $all) = helper(@words);
	my $got = $answer ? $answer->{error} // '' : '';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($rc == ($error eq 'usage' ? 2 : 1) && $got eq $error && !$answer->{ok} && length $answer->{detail},
		"refused, $error: @words")
	  or diag($all);
	return $answer // {};
}

sub fingerprint
{
	my ($dir) = @_;
	my %seen;
	File::Find::find(
		{
			no_chdir => 1,
			wanted   => sub {
				my @st = lstat($_) or return;
				my $path = substr($_, length $dir);
				my $what = -l _ ? 'link ' . readlink($_) : -d _ ? 'dir' : do {
					open(my $fh, '<', $_) or die "$_: $!";
					Digest::MD5->new->addfile($fh)->hexdigest;
				};
				$seen{$path} = sprintf('%o %s', $st[2], $what);
			}
		},
		$dir);
	return \%seen;
}

sub source { my ($to, $term) = @_; return ($term, 'n2', '127.0.0.1', port('n2'), 'postgres', '-', "regent_$to") }

sub beside { my ($name) = @_; return sort map { s!.*/!!r } glob(dir($name) . '.regent-*') }

# A helper in the background; its output goes to a file.
sub helper_in_background
{
	my (@words) = @_;
	my $file = "$c->{dir}/background";
	unlink $file;
	return ($c->spawn([ $helper, '-c', "$c->{dir}/node.conf", @words ], $file), $file);
}

# The same, whose syncs are noted in a log.
sub syncing_helper
{
	my ($synced, @words) = @_;
	local %ENV = (%ENV, syncfs_env($synced));
	return helper_in_background(@words);
}

sub processes_with
{
	my ($pattern) = @_;
	my @found;
	foreach my $proc (glob('/proc/[0-9]*/cmdline'))
	{
		my $line = slurp($proc);
		$line =~ tr/\0/ /;
		push @found, $proc =~ m!/(\d+)/! if $line =~ $pattern;
	}
	return @found;
}

sub copiers { my ($dir) = @_; return processes_with(qr/pg_basebackup.*\Q$dir\E/) }

# The one server process of a node with such a title.
sub server_process
{
	my ($name, $title) = @_;
	foreach my $pid ($c->processes($name))
	{
		my $line = slurp("/proc/$pid/cmdline");
		return $pid if $line =~ $title;
	}
	die "$name has no process like $title";
}

write_state(dir($_), node => $_) foreach $c->names;

subtest 'words are checked, nothing is evaluated' => sub {
	my $canary = "$c->{dir}/canary";
	my @attacks = (
		"n1 probe;touch $canary", "n1 probe\ntouch $canary", "n1 \$(touch $canary)", "n1 `touch $canary`",
		"n1 probe|touch $canary", "n1 probe&touch $canary", "n1 probe >$canary", "n1 \"probe\"", "n1 'probe'",
		'n1 *', 'n1 ?robe', 'n1 ~', 'n1 probe #', 'n1 {probe,fence}', "n1 probe \x{1b}[0m", "n1 prob\x{c3}\x{a9}");
	foreach my $attack (@attacks)
	{
		my ($rc, $out) = ssh($attack);
		my $answer = last_json($out);
		ok($rc == 2 && $answer && $answer->{error} eq 'usage', 'over ssh: ' . ($attack =~ s/[^ -~]/?/gr));
		my ($rc2) = helper(split / /, $attack, 2);
		is($rc2, 2, 'directly');
	}
	ok(!-e $canary, 'nothing was run');
	refused('usage', 'n1', 'eval');
	refused('usage', 'n1', 'verb_probe');
	refused('usage', 'n1', '');
	refused('usage', 'n1', 'a' x 300);
	refused('usage', 'n1', 'probe', 'x');
	refused('usage', 'n1', 'fence');
	refused('usage', 'n1', 'fence', $_) foreach qw(0 -1 01 1x 9999999999999999999 1.5);
	refused('usage', 'n1', 'stop', 'now');
	refused('usage', 'N1', 'probe');
	refused('usage', '../n1', 'probe');
	refused('usage', 'n1', 'copy', 1, 'n2', '-oProxyCommand=x', 5432, 'u', '-', 's');
	refused('usage', 'n1', 'copy', 1, 'n2', 'h', 70000, 'u', '-', 's');
	refused('usage', 'n1', 'copy', 1, 'n2', 'h', 5432, 'u', 'relative/file', 's');
	refused('usage', 'n1', 'copy', 1, 'n2', 'h', 5432, 'u', '-', 's-1');
	refused('usage', 'n1', 'copy', 1, 'n2', 'h', 5432, 'u', '-', 's', $_) foreach qw(31 1048577 1M -1);
	refused('usage', 'n1', 'rewind', 1, 'n2', 'h', 5432, 'u', '-', 's', 100);
	refused('unknown_node', 'n9', 'probe');
	my ($rc, $out) = ssh('n1 probe ' . 'x' x 5000);
	is($rc, 2, 'a long command');
	($rc, $out) = ssh('regent-node n1 probe');
	is($rc, 0, 'with the leading word');
	($rc, $out) = ssh();
	is($rc, 2, 'no command: usage, not a shell');
};

subtest 'probe tells alive, frozen, absent' => sub {
	my $p = ok_helper('n1', 'probe');
	is($p->{postmaster}, 'alive');
	is($p->{pid}, $c->postmaster('n1'), 'pid');
	is($p->{system_identifier}, $system, 'system identifier is a string');
	is($p->{state}, 'in production');
	is($p->{boot_id}, slurp('/proc/sys/kernel/random/boot_id') =~ s/\n//r);
	is($p->{postmaster_start}, (split /\n/, slurp(dir('n1') . '/postmaster.pid'))[2]);
	is($p->{timeline}, 1);
	$c->sql('n1', 'CHECKPOINT');
	is(ok_helper('n1', 'probe')->{checkpoint_lsn}, $c->sql('n1', 'SELECT checkpoint_lsn FROM pg_control_checkpoint()'),
		'the latest checkpoint');
	is($p->{promised_term}, 1, 'a rule is a promise');
	# sessions and autovacuum workers come and go between two looks
	wait_until(sub { (helper('n1', 'probe'))[1]{processes} == $c->processes('n1') }, 10, 'probe to count the processes');
	pass('processes');
	ok($p->{directory_ok} && !$p->{fenced} && $p->{pidfile});
	cmp_ok($p->{disk_free_bytes}, '>', 0);
	is($p->{recovery}, undef, 'no recovery');

	$p = ok_helper('n2', 'probe');
	is($p->{state}, 'in archive recovery');
	like($p->{recovery}, qr/^(recovering|waiting for) 0000/, 'what the startup process shows');

	my $pid = $c->postmaster('n1');
	freeze($pid);
	is(ok_helper('n1', 'probe')->{postmaster}, 'frozen');
	kill 'CONT', $pid;
	is(ok_helper('n1', 'probe')->{postmaster}, 'alive', 'again');

	# a pid file that is gone does not hide a server
	rename dir('n1') . '/postmaster.pid', "$c->{dir}/pid";
	$p = ok_helper('n1', 'probe');
	is($p->{pid}, $pid, 'without its pid file');
	rename "$c->{dir}/pid", dir('n1') . '/postmaster.pid';

	# a pid file that names a stranger does not show one
	ok_helper('n2', 'stop', 'immediate');
	is(ok_helper('n2', 'probe')->{postmaster}, 'absent');
	my $stranger = $c->spawn([ 'sleep', '100' ], '/dev/null');
	spew(dir('n2') . '/postmaster.pid',
		"$stranger\n@{[ dir('n2') ]}\n1700000000\n@{[ port('n2') ]}\n/tmp\n127.0.0.1\n   5432001         9\nready   \n");
	$p = ok_helper('n2', 'probe');
	is($p->{postmaster}, 'absent', 'a stranger with that pid');
	is($p->{processes}, 0);
	ok_helper('n2', 'start');
	ok($c->postmaster('n2'), 'and start is not kept from starting by him');
	kill 'KILL', $stranger;
	waitpid $stranger, 0;
};

subtest 'a zombie is dead, whatever its name looks like' => sub {
	ok_helper('n2', 'stop', 'fast');
	my $link = "$c->{dir}/a) S (b 1 c";
	symlink $bindir . '/postgres', $link;
	my $pid = fork() // die;
	if ($pid == 0)
	{
		open(STDIN,  '<',  '/dev/null');
		open(STDOUT, '>>', "$c->{dir}/zombie.log");
		open(STDERR, '>&', \*STDOUT);
		exec { $link } $bindir . '/postgres', '-D', dir('n2') or POSIX::_exit(127);
	}
	wait_until(sub { slurp(dir('n2') . '/postmaster.pid') =~ /^ready/m }, 20, 'n2 is ready');
	like(slurp("/proc/$pid/stat"), qr/\(a\) S \(b 1 c\)/, 'the name');
	is(ok_helper('n2', 'probe')->{postmaster}, 'alive');
	freeze($pid);
	is(ok_helper('n2', 'probe')->{postmaster}, 'frozen');
	kill 'KILL', $pid;
	wait_until(sub { proc_state($pid) eq 'Z' }, 10, 'a zombie');
	# by where they work: they have its name, not the server's
	wait_until(sub { !grep { (readlink($_) // '') eq dir('n2') } glob('/proc/[0-9]*/cwd') }, 20, 'its children have ended');
	my $p = ok_helper('n2', 'probe');
	is($p->{postmaster}, 'absent');
	is($p->{processes}, 0);
	is(ok_helper('n2', 'fence', 1)->{killed}, 0, 'nothing to kill');
	ok_helper('n2', 'start');
	is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'its pid does not keep the next one from starting');
	waitpid $pid, 0;
	# make it follow again
	$c->sql('n2', "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=@{[ port('n1') ]} user=postgres application_name=n2'");
	$c->sql('n2', 'SELECT pg_reload_conf()');
};

subtest 'fence is refused below the promise, and far above it' => sub {
	my $pid = $c->postmaster('n1');
	write_state(dir('n1'), node => 'n1', promise => "9 $uuid");
	refused('stale_term', 'n1', 'fence', 8);
	write_state(dir('n1'), node => 'n1', rule => '{"seq": 1, "term": 12, "leader": "n1"}');
	refused('stale_term', 'n1', 'fence', 11);
	refused('stale_term', 'n1', 'fence', 12);    # it leads by that very rule: the recruit was undone
	write_state(dir('n1'), node => 'n1', pending => '{"seq": 1, "term": 12, "leader": "n1"}');
	refused('stale_term', 'n1', 'fence', 11);
	write_state(dir('n1'), node => 'n1');
	refused('term_too_high', 'n1', 'fence', 1002);
	write_state(dir('n1'), node => 'n7');
	refused('wrong_node', 'n1', 'fence', 2);
	refused('wrong_node', 'n1', 'probe');
	write_state(dir('n1'), node => 'n1');
	is($c->postmaster('n1'), $pid, 'nobody was hurt');
};

subtest 'fence ends backends that outlive their postmaster' => sub {
	my @psql = map {
		$c->spawn([ 'psql', '-X', '-h', '127.0.0.1', '-p', port('n1'), '-U', 'postgres', '-c',
				'SELECT pg_sleep(600)' ], "$c->{dir}/psql.log")
	} 1 .. 3;
	wait_until(sub { $c->sql('n1', q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)'
		AND pid <> pg_backend_pid()}) == 3 }, 10, 'three sessions');
	my ($backend) = split /\n/, $c->sql('n1', q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)'
		AND pid <> pg_backend_pid()});
	freeze($backend);
	my $postmaster = $c->postmaster('n1');
	$c->kill_primary('n1');
	wait_until(sub { proc_state($postmaster) =~ /^[ZX]?$/ }, 20, 'the postmaster has ended');
	my $p = ok_helper('n1', 'probe');
	is($p->{postmaster}, 'absent', 'no postmaster');
	cmp_ok($p->{processes}, '>=', 1, 'but processes');

	# one that went to another directory: only the shared memory gives it away
	my ($id) = slurp(dir('n1') . '/postmaster.pid') =~ /^ *\d+ +(\d+)$/m;
	my $shmat = { x86_64 => 30, aarch64 => 196 }->{ (POSIX::uname())[4] };
	my $astray;
  SKIP:
	{
		skip 'no number of shmat for this processor', 1 unless $shmat;
		mkdir "$c->{dir}/astray";
		system('cp', $^X, "$c->{dir}/astray/postgres") == 0 or die;
		my $ready = "$c->{dir}/astray/ready";
		$astray = $c->spawn([ "$c->{dir}/astray/postgres", '-e',
				"syscall($shmat, $id, 0, 4096) != -1 or die; chdir '/'; open(F, '>', '$ready'); close F; sleep 600" ],
			"$c->{dir}/astray/log");
		wait_until(sub { -e $ready }, 10, 'attached');
		pass('one is astray');
	}

	my $before = time;
	my $f = ok_helper('n1', 'fence', 2);
	diag(sprintf 'fence: %d ms, %d processes', (time - $before) * 1000, $f->{killed});
	cmp_ok($f->{killed}, '>=', $astray ? 2 : 1);
	is($f->{left}, 0);
	is($f->{promised_term}, 2);
	is($f->{system_identifier}, $system);
	ok($f->{fenced});
	is(proc_state($backend) =~ /^[ZX]?$/ ? 'dead' : 'alive', 'dead', 'the stopped backend');
	is(proc_state($astray), 'Z', 'the one astray') if $astray;
	is($c->processes('n1') + 0, 0, 'no process is left');
	is(state_line('n1', 'promise'), "2 $uuid", 'the promise, to the watchdog that the node obeys');
	ok(state_is_good('n1'), 'checksum');
	ok(-e dir('n1') . '/standby.signal');
	waitpid $_, 0 foreach @psql;
	waitpid $astray, 0 if $astray;

	my $old = fingerprint(dir('n1'));
	my $again = ok_helper('n1', 'fence', 2);
	is($again->{killed}, 0, 'again: nothing to do');
	is_deeply(fingerprint(dir('n1')), $old, 'nothing is written');
	refused('stale_term', 'n1', 'fence', 1);
	ok(ok_helper('n1', 'probe')->{fenced}, 'probe says so');

	my ($rc, $out, $err) = ssh('regent-node', 'n1', 'start');
	is($rc, 0, 'started over ssh, and the channel closes') or diag($out . $err);
	my $pid = $c->postmaster('n1');
	is_deeply([ grep { readlink($_) =~ /regent\.lock|regent-lock|pipe:/ } glob("/proc/$pid/fd/[0-2]") ],
		[], 'the server has neither pipes nor locks of ours');
	is_deeply([ grep { (readlink($_) // '') =~ /regent.*lock/ } glob("/proc/$pid/fd/*") ], [], 'anywhere');
	unlike(slurp("/proc/$pid/environ"), qr/REGENT_NODE|SSH_ORIGINAL|LC_ALL/, 'nor of our environment');
	is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't', 'it came up as a standby');
	is($c->sql('n1', 'SELECT count(*) FROM pg_stat_wal_receiver'), 0, 'and follows nobody');
	is($c->sql('n1', 'CREATE TABLE no()', may_fail => 1), undef, 'and takes no write');

	is(ok_helper('n1', 'fence', 3)->{promised_term}, 3, 'a running standby is fenced too');
	is($c->processes('n1') + 0, 0);
};

subtest 'settings elsewhere do not undo a fence' => sub {
	my $auto = dir('n1') . '/postgresql.auto.conf';
	spew($auto, slurp($auto) . "work_mem = '7MB'\nrestore_command = 'cp x y'\n"
		  . "Primary_ConnInfo 'host=elsewhere'\nrecovery_target_action='promote'\nrecovery_target_lsn = '0/1'\n");
	ok_helper('n1', 'fence', 3);
	ok_helper('n1', 'start');
	is($c->sql('n1', 'SHOW primary_conninfo'), '', 'primary_conninfo');
	is($c->sql('n1', 'SHOW restore_command'), '', 'restore_command');
	is($c->sql('n1', 'SHOW regent.saved_restore_command'), 'cp x y', 'which is put aside');
	is($c->sql('n1', 'SHOW recovery_target_action'), 'pause', 'recovery_target_action');
	is($c->sql('n1', 'SHOW recovery_target_lsn'), '', 'recovery_target_lsn');
	is($c->sql('n1', 'SHOW work_mem'), '7MB', "the node's own settings stay");
	$c->sql('n1', "ALTER SYSTEM SET work_mem = '8MB'");
	like(slurp($auto), qr/^primary_conninfo = ''$/m, 'and the server rewrites the file');
};

subtest 'a state file that is missing or bad stays so' => sub {
	my $file = dir('n1') . '/regent.state';
	my $good = slurp($file);
	foreach my $case ([ 'bad', $good =~ s/checksum \K(\d)/($1 + 1) % 10/er ], [ 'bad', substr($good, 0, 100) ], [ 'bad', "$good\n" ],
		[ 'bad', '' ], [ 'missing', undef ])
	{
		my ($what, $text) = @$case;
		if (defined $text) { spew($file, $text); }
		else               { unlink $file; }
		my $f = ok_helper('n1', 'fence', 4);
		is($f->{state_file},    $what, "state_file: $what");
		is($f->{promised_term}, undef, 'no promise is claimed');
		ok($f->{fenced}, 'but it is fenced');
		is(-e $file ? slurp($file) : undef, $text, 'the file is as it was');
		refused('state_file', 'n1', 'promote', 4);
		is(ok_helper('n1', 'probe')->{promised_term}, undef);
	}
	write_state(dir('n1'), node => 'n1', watchdog => '- -');
	ok_helper('n1', 'fence', 4);
	is(state_line('n1', 'promise'), '4 -', 'a promise before a watchdog is known');
	ok(state_is_good('n1'));
	spew($file, $good);
};

subtest 'a full disk does not keep a primary from being fenced' => sub {
	my @ns = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
	plan skip_all => 'no user namespaces here' if system("@ns true 2>/dev/null") != 0;
	my $mount = "$c->{dir}/small";
	mkdir $mount;
	write_state(dir('n1'), node => 'n1');
	spew("$c->{dir}/small.conf",
		"[n1]\ndata_directory = $mount/data\nbin_directory = $bindir\n");
	my $helper = "$helper -c $c->{dir}/small.conf n1";
	my $out = `@ns sh -c 'mount -t tmpfs -o size=100m tmpfs $mount && cp -a @{[ dir('n1') ]} $mount/data &&
		rm -f $mount/data/regent.lock && touch $mount/data/regent.lock && $helper copy @{[ source('n1', 1) ]}; ls -d $mount/data.regent-new;
		rm -f $mount/data/standby.signal; dd if=/dev/zero of=$mount/fill bs=4k 2>/dev/null; df --output=avail $mount | tail -n 1;
		$helper fence 7; cat $mount/data/regent.state; ls $mount/data/standby.signal; $helper probe;
		mountpoint -q $mount && $helper discard' 2>&1`;
	like($out, qr/"verb":"copy".*"error":"no_space".*bytes more/, 'a copy that does not fit');
	like($out, qr/cannot access.*regent-new/, 'is refused before its first byte');
	like($out, qr/^ *0$/m, 'the disk is full');
	like($out, qr/^promise 7 $uuid$/m, 'the promise is there');
	like($out, qr/"verb":"fence".*"promised_term":7,"state_file":"ok"/, 'and answered');
	like($out, qr/"verb":"probe".*"promised_term":7,"state_file":"ok","fenced":true/, 'and readable') or diag($out);
};

subtest 'promote needs the promise' => sub {
	write_state(dir('n2'), node => 'n2');
	refused('not_promised', 'n2', 'promote', 5);
	write_state(dir('n2'), node => 'n2', promise => "6 $uuid");
	refused('stale_term', 'n2', 'promote', 5);
	refused('not_promised', 'n2', 'promote', 7);
	is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'still a standby');
	is(state_line('n2', 'promoting'), '-');

	# begun in this term before a restart: the next timeline would have another number
	my $wal = dir('n2') . '/pg_wal';
	spew("$wal/00000006.history", "1\t0/3000000\tno recovery target specified\n");
	refused('half_promoted', 'n2', 'promote', 6);
	is(state_line('n2', 'promoting'), '-', 'nothing is written');
	is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'and nothing is signalled');
	unlink "$wal/00000006.history";
	spew("$wal/00000003.history", "1\t0/3000000\tof somebody else\n");

	# under the same lock as the functions in the server
	my $lock = $c->spawn([ 'flock', dir('n2') . '/regent.lock', 'sleep', '1' ], '/dev/null');
	sleep 0.1;
	my $before = time;
	my $p = ok_helper('n2', 'promote', 6);
	cmp_ok(time - $before, '>', 0.7, 'it waits for the lock');
	waitpid $lock, 0;
	is($p->{already}, JSON::PP::false);
	is(state_line('n2', 'promoting'), 6, 'written before the signal');
	wait_until(sub { $c->sql('n2', 'SELECT pg_is_in_recovery()') eq 'f' }, 10, 'n2 is promoted');
	is(ok_helper('n2', 'promote', 6)->{already}, JSON::PP::true, 'again');
	$c->sql('n2', 'CHECKPOINT');
	is($c->sql('n2', 'SELECT timeline_id FROM pg_control_checkpoint()'), 6, 'the timeline has the number of the term');
	is_deeply([ map { s!.*/0*!!r } sort glob("$wal/*.history") ], [ map { "$_.history" } 2 .. 6 ],
		'the numbers between are taken');
	is(slurp("$wal/00000002.history"), "# pg_regent: timeline not used\n", 'by placeholders');
	like(slurp("$wal/00000003.history"), qr/of somebody else/, 'what is there is left alone');
	ok(!-e dir('n2') . '/promote', 'no signal file is left');
	ok_helper('n2', 'stop', 'fast');
	refused('not_running', 'n2', 'promote', 6);
	is(ok_helper('n2', 'stop', 'fast')->{already}, JSON::PP::true);
	ok_helper('n2', 'start');
	is(ok_helper('n2', 'start')->{already}, JSON::PP::true);
	write_state(dir('n2'), node => 'n2', promise => "6 $uuid", rule => '{"term": 6, "seq": 1, "leader": "n2"}',
		watchdog => "$uuid 5", followed => '1:1,6:6');
};

subtest 'the lock: fence kills first and waits then' => sub {
	ok_helper('n1', 'start');
	my $holder = $c->spawn([ 'flock', dir('n1') . '/regent.lock', 'sleep', '600' ], '/dev/null');
	sleep 0.1;
	refused('busy', 'n1', 'fence', 6);
	is($c->processes('n1') + 0, 0, 'the server is dead all the same');
	kill 'KILL', descendants($holder), $holder;
	waitpid $holder, 0;
	ok_helper('n1', 'fence', 6);
};

# n1: fenced and diverged.  n2: primary, node state term 6.
subtest 'refusals of a copy' => sub {
	refused('no_copy', 'n1', 'swap', source('n1', 6));
	refused('is_primary', 'n2', 'copy', 6, 'n1', '127.0.0.1', port('n2'), 'postgres', '-', 'regent_n2');
	refused('stale_term', 'n1', 'copy', source('n1', 5));
	refused('wrong_source', 'n1', 'copy', 6, 'n3', '127.0.0.1', port('n2'), 'postgres', '-', 'regent_n1');
	refused('source', 'n1', 'copy', 6, 'n2', '127.0.0.1', $c->{ssh_port}, 'postgres', '-', 'regent_n1');

	my $other = RegentCluster->new(nodes => 1, extension => 0);
	refused('other_system', 'n1', 'copy', 6, 'n2', '127.0.0.1', $other->node('n1')->{port}, 'postgres', '-', 'regent_n1');
	$other->stop_all;

	my $conf = slurp("$c->{dir}/node.conf");
	my $real = dir('n1');
	my $with = sub { spew("$c->{dir}/node.conf", $conf =~ s/\Q$real\E$/$_[0]/mr) };
	symlink $real, "$c->{dir}/elsewhere";
	$with->("$c->{dir}/elsewhere");
	refused('symlink', 'n1', 'copy', source('n1', 6));
	refused('symlink', 'n1', 'unswap');
	ok_helper('n1', 'probe');
	$with->('/');
	refused('wrong_user', 'n1', 'copy', source('n1', 6));
	refused('wrong_user', 'n1', 'fence', 6);
	$with->("$c->{dir}/run");
	refused('not_a_data_directory', 'n1', 'copy', source('n1', 6));
	$with->("$c->{dir}/nothing");
	refused('no_directory', 'n1', 'copy', source('n1', 6));
	refused('no_directory', 'n1', 'probe');
	spew("$c->{dir}/node.conf", "$conf\n[n1]\n");
	refused('config', 'n1', 'probe');
	spew("$c->{dir}/node.conf", $conf =~ s/^port/prot/mr);
	like(refused('config', 'n1', 'probe')->{detail}, qr/node\.conf:4: unknown key "prot"/, 'file and line');
	spew("$c->{dir}/node.conf", $conf);

	my @ns = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
  SKIP:
	{
		skip 'no user namespaces here', 2 if system("@ns true 2>/dev/null") != 0;
		my $helper = join ' ', $helper, '-c', "$c->{dir}/node.conf", 'n1', 'copy', source('n1', 6);
		like(`@ns sh -c 'mount --bind $real $real && $helper'`, qr/"error":"mount_point"/, 'a mount point');
		like(`@ns sh -c 'mount --bind $real/pg_wal $real/pg_wal && $helper'`,
			qr/"error":"mount_point"/, 'a mount point in it');
	}
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'nothing lies beside the directory');
};

# kill_copy_at(PERCENT, ALL, DIRECTORIES...): SIGKILL of a copy's helper when so many of all
# bytes lie in what it fills.
sub kill_copy_at
{
	my ($percent, $all, @filled) = @_;
	unlink "$c->{dir}/background";
	my ($pid, $file);
	my $walsender = hold_copy($c, 'n2', $percent, $all, sub { ($pid, $file) = helper_in_background('n1', 'copy', source('n1', 6)); return $file }, @filled);
	kill 'KILL', $pid;
	waitpid $pid, 0;
	kill 'CONT', $walsender;
	wait_until(sub { !copiers(dir('n1')) }, 5, 'pg_basebackup dies with its helper');
	return;
}

subtest 'a copy that is interrupted leaves everything as it was' => sub {
	my $dir = dir('n1');
	my $old = fingerprint($dir);
	my $untouched = sub {
		my ($how) = @_;
		is_deeply(fingerprint($dir), $old, "$how: the old directory is as it was");
		is(scalar(copiers($dir)), 0, "$how: no pg_basebackup is left");
	};
	# the source's checkpointer stands still: a copy waits for it as long as we like
	my $begin = sub {
		my (@run) = @_;
		my $checkpointer = server_process('n2', qr/checkpointer/);
		freeze($checkpointer);
		my ($pid, $file) = @run ? ($c->spawn(\@run, "$c->{dir}/background"), "$c->{dir}/background")
		  : helper_in_background('n1', 'copy', source('n1', 6), 500000);
		wait_until(sub { -d "$dir.regent-new" && copiers($dir) && slurp($file) =~ /progress/ }, 20, 'the copy runs');
		return ($pid, $file, $checkpointer);
	};

	my ($pid, $file, $checkpointer) = $begin->();
	wait_until(sub { (() = slurp($file) =~ /"phase":"checkpoint"/g) > 1 }, 10, 'progress while it waits');
	like(slurp('/proc/' . (copiers($dir))[0] . '/cmdline'), qr/--max-rate=500000\0.*--no-sync\0/, 'at the rate that was asked for, and without syncing file by file');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	wait_until(sub { !copiers($dir) }, 5, 'pg_basebackup dies with its helper');
	$untouched->('SIGKILL of the helper');
	kill 'CONT', $checkpointer;
	ok_helper('n1', 'start');
	ok_helper('n1', 'stop', 'fast');
	$old = fingerprint($dir);

	($pid, $file, $checkpointer) = $begin->();
	kill 'TERM', $pid;
	waitpid $pid, 0;
	is($? >> 8, 1, 'SIGTERM');
	is(last_json(slurp($file))->{error}, 'aborted');
	$untouched->('SIGTERM');
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'and nothing lies beside it');
	kill 'CONT', $checkpointer;

	unlink "$c->{dir}/background";
	($pid, $file, $checkpointer) = $begin->(ssh_command(), 'regent-node', 'n1', 'copy', source('n1', 6));
	kill 'KILL', $pid;
	waitpid $pid, 0;
	wait_until(sub { !copiers($dir) && !-e "$dir.regent-new" }, 10, 'the helper sees that the channel is closed');
	$untouched->('closed channel');
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'and nothing lies beside it');
	kill 'CONT', $checkpointer;

	# in the middle of the data
	$c->sql('n2', 'CREATE TABLE bulk AS SELECT g, repeat(md5(g::text), 30) AS t FROM generate_series(1, 100000) g');
	$c->sql('n2', 'CHECKPOINT');
	# at this rate it takes ten seconds, however busy the machine is
	($pid, $file) = helper_in_background('n1', 'copy', source('n1', 6), 10240);
	wait_until(sub { slurp($file) =~ /"phase":"copying"/ }, 20, 'progress while it copies');
	$c->kill_server('n2');
	kill 'KILL', $c->processes('n2');
	waitpid $pid, 0;
	is(last_json(slurp($file))->{error}, 'copy_failed', 'SIGKILL of the source') or diag(slurp($file));
	$untouched->('SIGKILL of the source');
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'and nothing lies beside it');
	ok_helper('n2', 'start');
	is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 'f', 'the source is back');

	($pid, $file, $checkpointer) = $begin->();
	refused('busy', 'n1', 'copy', source('n1', 6));
	kill 'CONT', $checkpointer;
	waitpid $pid, 0;
	is($? >> 8, 0, 'the first of two copies ends well');
	my @lines = map { JSON::PP->new->decode($_) } split /\n/, slurp($file);
	is($lines[-2]{bytes}, $lines[-2]{total}, 'all bytes');
	ok($lines[-1]{ok} && $lines[-1]{bytes} > 50_000_000);
	my $all = $lines[-1]{bytes};
	$untouched->('a copy that succeeds');
	ok_helper('n1', 'discard');

	# the next command goes on from whatever is there
	foreach my $percent (10, 50, 99)
	{
		kill_copy_at($percent, $all, "$dir.regent-new");
		$untouched->("killed at $percent percent");
		ok(!-e "$dir.regent-copy", 'not marked as complete');
		refused('no_copy', 'n1', 'swap', source('n1', 6));
	}
	ok_helper('n1', 'copy', source('n1', 6));
	$untouched->('the next copy');
	ok_helper('n1', 'discard');
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'discarded');
	$c->sql('n2', 'DROP TABLE bulk');
	$c->sql('n2', 'CHECKPOINT');
};

subtest 'a copy is on disk before it counts as complete' => sub {
	my $dir = dir('n1');
	my $synced = "$c->{dir}/synced";
	my $begin = sub {
		spew("$synced.hold", '');
		my ($pid, $file) = syncing_helper($synced, 'n1', 'copy', source('n1', 6));
		wait_until(sub { -e $synced }, 60, 'the copy to be synced', sub { slurp($file) });
		return ($pid, $file);
	};

	my ($pid, $file) = $begin->();
	wait_until(sub { (() = slurp($file) =~ /"phase":"syncing"/g) > 1 }, 10, 'progress while the disk is waited for');
	my $at = last_json(slurp($file));
	is($at->{bytes}, $at->{total}, 'when all bytes have come');
	is(scalar(copiers($dir)), 0, 'pg_basebackup has ended');
	ok(!-e "$dir.regent-copy", 'the copy is not marked as complete');
	unlink "$synced.hold";
	waitpid $pid, 0;
	is($? >> 8, 0, 'then it is');
	like(slurp($synced), qr{^\Q$dir.regent-new\E$}m, 'synced was the copy');
	ok(-e "$dir.regent-copy", 'and it is marked');

	($pid, $file) = $begin->();
	kill 'TERM', $pid;
	waitpid $pid, 0;
	is(last_json(slurp($file))->{error}, 'aborted', 'told to stop while the disk is waited for');
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'nothing is left of it');
	is(scalar(processes_with(qr/sync -f -- \Q$dir\E/)), 0, 'and nobody is at work');

	($pid, $file) = $begin->();
	spew("$synced.fail", '');
	unlink "$synced.hold";
	waitpid $pid, 0;
	my $answer = last_json(slurp($file));
	is($answer->{error}, 'not_synced', 'the disk fails: so does the copy') or diag(slurp($file));
	like($answer->{detail}, qr/Input\/output error/, 'and why');
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'nothing is left of it');
	unlink "$synced.fail";
};

my $swap_seconds;
subtest 'copy, swap, settle bring a diverged node back' => sub {
	my $dir = dir('n1');
	$c->sql('n2', "SELECT pg_create_physical_replication_slot('regent_n1', true)");
	$c->sql('n2', 'INSERT INTO regent_load SELECT generate_series(1, 100)');
	write_state($dir, node => 'n1', promise => "6 $uuid", watchdog => "$uuid 9");
	ok_helper('n1', 'copy', source('n1', 6));
	is(slurp("$dir.regent-new/regent.copy"), '', 'the mark lies beside, not inside');
	refused('no_copy', 'n1', 'swap', 6, 'n9', '127.0.0.1', port('n2'), 'postgres', '-', 'regent_n1');
	unlink "$dir/standby.signal";
	refused('not_fenced', 'n1', 'swap', source('n1', 6));
	ok_helper('n1', 'fence', 6);
	my $old = fingerprint($dir);
	my $before = time;
	my $s = ok_helper('n1', 'swap', source('n1', 6));
	$swap_seconds = time - $before;
	is($s->{status}, 'ready');
	is_deeply(fingerprint("$dir.regent-old"), $old, 'the old directory is kept as it was');
	wait_until(sub { $c->sql('n2', q{SELECT state FROM pg_stat_replication WHERE application_name = 'n1'}) eq 'streaming' },
		10, 'n1 streams');
	is($c->sql('n2', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'regent_n1'}), 't', 'on its slot');
	is($c->sql('n1', 'SHOW port'), port('n1'), 'with its own settings');
	is($c->sql('n1', 'SHOW work_mem'), '8MB', 'those of ALTER SYSTEM too');
	is(state_line('n1', 'node'), 'n1', 'the state file: own name');
	is(state_line('n1', 'watchdog'), "$uuid 9", 'higher counter');
	is(state_line('n1', 'followed'), '1:1,6:6', "the leader's terms");
	ok(state_is_good('n1'));
	$c->sql('n2', 'INSERT INTO regent_load SELECT generate_series(101, 200)');
	wait_until(sub { $c->sql('n1', 'SELECT count(*) FROM regent_load') == 200 }, 10, 'same rows');
	refused('unsettled', 'n1', 'copy', source('n1', 6));

	# and back once: the promise that was made meanwhile stays made
	write_state($dir, node => 'n1', promise => "7 $uuid", rule => '{"term": 6, "seq": 1, "leader": "n2"}', followed => '1:1,6:6');
	ok_helper('n1', 'unswap');
	is(state_line('n1', 'promise'), "7 $uuid", 'promise after unswap');
	ok(state_is_good('n1'));
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'nothing is left of the copy');
	refused('stale_term', 'n1', 'copy', source('n1', 6));
	write_state($dir, node => 'n1', promise => "6 $uuid", watchdog => "$uuid 9");
	ok_helper('n1', 'unswap');

	ok_helper('n1', 'start');
	ok_helper('n1', 'fence', 6);
	is(ok_helper('n1', 'stop', 'fast', 6)->{already}, JSON::PP::true, 'a stop of the term that is promised');
	refused('stale_term', 'n1', 'stop', 'fast', 7);
	ok_helper('n1', 'copy', source('n1', 6));
	ok_helper('n1', 'swap', source('n1', 6));
	refused('stale_term', 'n1', 'stop', 'fast', 6);
	ok($c->postmaster('n1'), 'a stop that comes when the leader of its term is known stops nobody');
	refused('unsettled', 'n1', 'swap', source('n1', 7));
	ok_helper('n1', 'stop', 'fast');
	refused('not_running', 'n1', 'settle');
	ok_helper('n1', 'start');
	my ($creator) = slurp("$dir.regent-old/postmaster.pid") =~ /^(\d+)$/m;
	my $segments = sub { scalar grep { (split)[4] eq $creator } grep { /^ *-?\d/ } split /\n/, slurp('/proc/sysvipc/shm') };
	is($segments->(), 1, 'the killed server left a segment of shared memory');
	mkdir "$dir.regent-old/stays";
	spew("$dir.regent-old/stays/file", 'x');
	chmod 0, "$dir.regent-old/stays";
	refused('not_removed', 'n1', 'settle');
	refused('not_a_data_directory', 'n1', 'unswap');
	chmod 0700, "$dir.regent-old/stays";
	is(ok_helper('n1', 'settle')->{removed}, JSON::PP::true);
	is($segments->(), 0, 'which is removed with its directory');
	is(ok_helper('n1', 'settle')->{removed}, JSON::PP::false, 'again');
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'settled');
};

subtest 'tablespaces and a WAL directory elsewhere' => sub {
	my $dir = dir('n1');
	my ($space, $wal) = ("$c->{dir}/n1/space", "$c->{dir}/n1/wal");
	ok_helper('n1', 'stop', 'fast');
	mkdir "$c->{dir}/n2/space";
	$c->sql('n2', "CREATE TABLESPACE far LOCATION '$c->{dir}/n2/space'");
	$c->sql('n2', 'CREATE TABLE in_far TABLESPACE far AS SELECT generate_series(1, 1000) AS i');
	$c->sql('n2', 'CREATE TABLE bulk TABLESPACE far AS SELECT g, repeat(md5(g::text), 30) AS t FROM generate_series(1, 100000) g');
	my $oid = $c->sql('n2', "SELECT oid FROM pg_tablespace WHERE spcname = 'far'");
	refused('not_empty', 'n1', 'copy', source('n1', 6));    # on this host the source's own path is taken
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'nothing is left');

	mkdir $space;
	system('cp', '-a', glob("$c->{dir}/n2/space/PG_*"), $space) == 0 or die;
	symlink $space, "$dir/pg_tblspc/$oid";
	rename "$dir/pg_wal", $wal;
	symlink $wal, "$dir/pg_wal";
	my $prints = sub { return [ fingerprint($dir), fingerprint($space), fingerprint($wal) ] };
	my $old = $prints->();
	my $synced = "$c->{dir}/synced";
	my ($copy_pid, $copy_file) = syncing_helper($synced, 'n1', 'copy', source('n1', 6));
	waitpid $copy_pid, 0;
	is($? >> 8, 0, 'a copy') or diag(slurp($copy_file));
	like(slurp($synced), qr{^\Q$_\E$}m, "$_ is synced") foreach "$dir.regent-new", "$space.regent-b", "$wal.regent-b";
	is(readlink("$dir.regent-new/pg_tblspc/$oid"), "$space.regent-b", 'the copy has a tablespace of its own');
	is(readlink("$dir.regent-new/pg_wal"), "$wal.regent-b", 'and a WAL directory');
	is_deeply($prints->(), $old, 'all is as it was');
	ok_helper('n1', 'discard');
	ok(!-e "$space.regent-b" && !-e "$wal.regent-b", 'discarded');

	my $checkpointer = server_process('n2', qr/checkpointer/);
	freeze($checkpointer);
	my ($pid, $file) = helper_in_background('n1', 'copy', source('n1', 6));
	wait_until(sub { -d "$wal.regent-b" }, 20, 'the copy to begin');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	kill 'CONT', $checkpointer;
	wait_until(sub { !copiers($dir) }, 5, 'pg_basebackup dies with its helper');
	ok_helper('n1', 'copy', source('n1', 6));
	is_deeply($prints->(), $old, 'one after a killed one');
	ok_helper('n1', 'discard');
	my $all = size_of(dir('n2'), "$c->{dir}/n2/space");
	foreach my $percent (10, 50, 99)
	{
		kill_copy_at($percent, $all, "$dir.regent-new", "$space.regent-b");
		is_deeply($prints->(), $old, "killed at $percent percent: directory, tablespace and WAL are as they were");
		refused('no_copy', 'n1', 'swap', source('n1', 6));
	}
	ok_helper('n1', 'copy', source('n1', 6));
	is_deeply($prints->(), $old, 'and one after those');
	ok_helper('n1', 'swap', source('n1', 6));
	wait_until(sub { ($c->sql('n1', 'SELECT count(*) FROM in_far', may_fail => 1) // 0) == 1000 }, 10, 'its rows');
	ok_helper('n1', 'unswap');
	is_deeply($prints->(), $old, 'and back');
	ok(!-e "$space.regent-b" && !-e "$wal.regent-b", 'the copy is removed');

	for my $round (1, 2)
	{
		my ($here, $away) = $round == 1 ? ('.regent-b', '') : ('', '.regent-b');
		ok_helper('n1', 'copy', source('n1', 6));
		ok_helper('n1', 'swap', source('n1', 6));
		ok_helper('n1', 'settle');
		is(readlink("$dir/pg_tblspc/$oid"), "$space$here", "round $round: one name");
		ok(!-e "$space$away" && !-e "$wal$away", 'the other one is free again');
		wait_until(sub { ($c->sql('n1', 'SELECT count(*) FROM in_far', may_fail => 1) // 0) == 1000 }, 10, 'its rows');
	}
	$c->sql('n2', 'DROP TABLE in_far, bulk');
	$c->sql('n2', 'DROP TABLESPACE far');
	ok_helper('n1', 'stop', 'fast');
	unlink "$dir/pg_wal";
	rename $wal, "$dir/pg_wal";
	ok_helper('n1', 'start');
};

subtest 'a swap that is killed at any moment loses no directory' => sub {
	my $dir = dir('n1');
	ok_helper('n1', 'stop', 'fast');
	my ($in_place, $swapped) = (0, 0);
	for my $round (1 .. 10)
	{
		my ($rc, $answer, $all) = helper('n1', 'copy', source('n1', 6));
		is($rc, 0, "round $round: copy") or diag($all);
		my $marks = join ' ', map { (stat $_)[1] } $dir, "$dir.regent-new";
		my ($pid, $file) = helper_in_background('n1', 'swap', source('n1', 6));
		sleep 0.06 * $round * $swap_seconds;
		kill 'KILL', descendants($pid), $pid;
		waitpid $pid, 0;
		($rc, $answer, $all) = helper('n1', 'probe');
		is($rc, 0, "round $round: a directory is in place") or diag($all);
		my $old = (split ' ', $marks)[0];
		my ($where) = grep { -d && (stat $_)[1] == $old } $dir, "$dir.regent-old";
		ok($where, "round $round: the old directory is there");
		$where eq $dir ? $in_place++ : $swapped++;
		ok_helper('n1', 'unswap');
		is((stat $dir)[1], $old, "round $round: and comes back");
		ok_helper('n1', 'discard');
		ok_helper('n1', 'start') if $round % 4 == 0;
		ok_helper('n1', 'stop', 'fast') if $round % 4 == 0;
	}
	diag("killed swaps: $in_place before, $swapped after the exchange");

	# exactly between the two renames
	rename $dir, "$dir.regent-old";
	is(ok_helper('n1', 'probe')->{directory_ok}, JSON::PP::true, 'half an exchange is undone');
	ok(!-e "$dir.regent-old");
	rename $dir, "$dir.regent-old";
	ok_helper('n1', 'fence', 6);
	ok_helper('n1', 'start');
};

my $ticket = 0;
sub job { return 'job=6.2.' . ++$ticket }

subtest 'a verb with a lower number comes too late' => sub {
	refused('usage', 'n1', 'discard', "job=$_") foreach '6', '6.1', '6.1.x', '0.1.1', '6.1.0', '6..1', '6.1.1.1', '';
	refused('usage', 'n1', 'probe', 'job=6.1.1');
	refused('usage', 'n1', 'start', 'job=6.1.1');
	ok_helper('n1', 'discard', 'job=6.1.7');
	refused('outdated', 'n1', 'discard', "job=$_") foreach '6.1.6', '6.0.9', '5.9.9';
	ok_helper('n1', 'discard', "job=$_") foreach '6.1.7', '6.1.10', '6.2.1', '6.2.1';
	refused('outdated', 'n1', $_, 'job=6.1.11', $_ eq 'swap' || $_ eq 'copy' ? source('n1', 6) : ())
	  foreach qw(swap copy settle unswap discard);
	ok_helper('n1', 'discard');    # by hand: no number
	refused('outdated', 'n1', 'discard', 'job=6.1.11');
	my $lock = dir('n1') . '.regent-lock';
	spew($lock, slurp($lock) =~ s/^\S+/00000000-0000-0000-0000-000000000000/r);
	ok_helper('n1', 'discard', 'job=6.1.1');    # numbers of an earlier boot: nothing has come through that
	$ticket = 10;
};

# A swap in the background that is stopped in the middle, with all that it runs, as
# soon as $when is true; returns its processes.
sub frozen_swap
{
	my ($when, @words) = @_;
	my ($pid, $file) = helper_in_background('n1', 'swap', @words, source('n1', 6));
	wait_until($when, 20, 'the moment');
	my @all;
	# who was started meanwhile is stopped as well
	foreach (1 .. 3)
	{
		@all = ($pid, descendants($pid));
		kill 'STOP', @all;
	}
	return ($pid, $file, @all);
}

# They go on; no shell of the helper may be left to do so.
sub thaw
{
	my ($pid, @all) = @_;
	my @alive = grep { proc_state($_) =~ /^[^ZX]$/ && slurp("/proc/$_/cmdline") =~ m!^/bin/sh\0.*regent-node! } @all;
	kill 'CONT', @all;
	RegentCluster::reap($pid, 20);
	return scalar @alive;
}

sub has_node_lock
{
	open(my $fh, '>>', dir('n1') . '/regent.lock') or return 0;
	return !flock($fh, LOCK_EX | LOCK_NB);
}

subtest 'a later verb ends a frozen swap, wherever it was' => sub {
	my $dir = dir('n1');
	foreach my $round (1 .. 5)
	{
		ok_helper('n1', 'start');
		ok_helper('n1', 'copy', job(), source('n1', 6));
		my $old = (stat $dir)[1];
		my $at = time + 0.18 * $round * $swap_seconds;
		my ($pid, $file, @all) = frozen_swap(sub { time >= $at }, job());
		my $swapped = -e "$dir.regent-old" && -e $dir;
		ok_helper('n1', $round % 2 || $swapped ? 'unswap' : 'discard', job());
		is(thaw($pid, @all), 0, "round $round: nothing of it is left") or diag(slurp($file));
		is((stat $dir)[1], $old, "round $round: the old directory is in its place");
		ok_helper('n1', 'discard', job());
		is_deeply([ beside('n1') ], [ 'data.regent-lock' ], "round $round: and alone");
	}
};

subtest 'a start ends a swap that is frozen with the lock' => sub {
	my $dir = dir('n1');
	my ($old, $pid, $file, @all);
	ok_helper('n1', 'start');
	foreach my $try (1 .. 10)
	{
		ok_helper('n1', 'copy', job(), source('n1', 6));
		$old = (stat $dir)[1];
		($pid, $file, @all) = frozen_swap(sub { has_node_lock() }, job());
		last if (stat $dir)[1] == $old && has_node_lock();
		thaw($pid, @all);
		ok_helper('n1', 'unswap', job());
		ok_helper('n1', 'start');
	}
	ok((stat $dir)[1] == $old && has_node_lock(), 'it is frozen with the lock');
	ok_helper('n1', 'stop', 'immediate');
	ok_helper('n1', 'start');
	my $postmaster = $c->postmaster('n1');
	is(thaw($pid, @all), 0, 'nothing of it is left') or diag(slurp($file));
	is((stat $dir)[1], $old, 'the old directory is in its place');
	is($c->postmaster('n1'), $postmaster, 'and its server runs');
	ok(-d "$dir.regent-new", 'the copy is not in use');
	ok_helper('n1', 'discard', job());
};

# The programs of the server, of which one waits at its first call.
sub waiting_bindir
{
	my $wrapped = "$c->{dir}/wrapped";
	mkdir $wrapped;
	foreach my $program (glob("$bindir/*"))
	{
		my $name = $program =~ s!.*/!!r;
		symlink $program, "$wrapped/$name" unless $name eq 'pg_controldata';
	}
	spew("$wrapped/pg_controldata", "#!/bin/sh\nmv '$wrapped/wait' '$wrapped/waits' 2>/dev/null && kill -STOP \$\$\nexec $bindir/pg_controldata \"\$\@\"\n");
	chmod 0755, "$wrapped/pg_controldata";
	return $wrapped;
}

subtest 'a swap that wakes when the node is back, or obeys a newer rule, does nothing' => sub {
	my $dir = dir('n1');
	my $conf = slurp("$c->{dir}/node.conf");
	my $wrapped = waiting_bindir();
	my $state = slurp("$dir/regent.state");
	my %cases = (
		'was started' => [ 'no_copy', sub { ok_helper('n1', 'stop', 'fast'); ok_helper('n1', 'start') } ],
		'was started by hand' => [ 'no_copy', sub { $c->stop_server('n1'); $c->start_server('n1') } ],
		'holds a newer rule' => [ 'outdated', sub { write_state($dir, node => 'n1', rule => '{"term": 6, "seq": 3, "leader": "n2"}', followed => '1:1,6:6') } ],
		'has promised a newer term' => [ 'stale_term', sub { write_state($dir, node => 'n1', promise => "7 $uuid") } ]);
	foreach my $case (sort keys %cases)
	{
		my ($error, $act) = @{ $cases{$case} };
		ok_helper('n1', 'start');
		ok_helper('n1', 'copy', job(), source('n1', 6));
		my $old = (stat $dir)[1];
		unlink "$wrapped/waits";
		spew("$wrapped/wait", '');
		spew("$c->{dir}/node.conf", $conf =~ s/\Q$bindir\E/$wrapped/gr);
		my ($pid, $file) = helper_in_background('n1', 'swap', job(), source('n1', 6));
		wait_until(sub { -e "$wrapped/waits" }, 20, 'swap has begun');
		spew("$c->{dir}/node.conf", $conf);
		$act->();
		my $postmaster = $c->postmaster('n1');
		kill 'CONT', descendants($pid), $pid;
		RegentCluster::reap($pid, 60);
		is(last_json(slurp($file))->{error}, $error, "one that $case") or diag(slurp($file));
		is((stat $dir)[1], $old, 'the old directory is in its place');
		is($c->postmaster('n1'), $postmaster, 'and its server was left alone');
		ok_helper('n1', 'discard', job());
		spew("$dir/regent.state", $state);
	}
};

subtest 'a swap that was done is not done again' => sub {
	my $dir = dir('n1');
	ok_helper('n1', 'copy', job(), source('n1', 6));
	my $s = ok_helper('n1', 'swap', job(), source('n1', 6));
	my $inode = (stat $dir)[1];
	$s = ok_helper('n1', 'swap', job(), source('n1', 6));
	ok($s->{already}, 'it says so');
	is((stat $dir)[1], $inode, 'the copy is in its place');
	ok_helper('n1', 'stop', 'fast');
	ok(!ok_helper('n1', 'swap', job(), source('n1', 6))->{already}, 'only the start was missing');
	is((stat $dir)[1], $inode, 'it is still there');
	refused('unsettled', 'n1', 'copy', job(), source('n1', 6));
	ok_helper('n1', 'settle', job());
	is_deeply([ beside('n1') ], [ 'data.regent-lock' ], 'settled');
	refused('no_copy', 'n1', 'swap', job(), source('n1', 6));
};

subtest 'names with spaces' => sub {
	my $dir = "$c->{dir}/a b/data  dir";
	mkdir "$c->{dir}/a b";
	system('cp', '-a', dir('n1'), $dir) == 0 or die;
	unlink "$dir/postmaster.pid", "$dir/postmaster.opts";
	my $port = free_port();
	spew("$dir/postgresql.auto.conf", "primary_conninfo = ''\nport = $port\n");
	spew("$c->{dir}/a b/postgresql.conf", slurp("$dir/postgresql.conf") . "hba_file = '$dir/pg_hba.conf'\nident_file = '$dir/pg_ident.conf'\n");
	unlink "$dir/postgresql.conf";
	write_state($dir, node => 'n3');
	my $conf = slurp("$c->{dir}/node.conf");
	spew("$c->{dir}/node.conf", "$conf\n[n3]\ndata_directory = $dir/ ; with a comment\n"
		  . "bin_directory = $bindir\nconfig_file = $c->{dir}/a b/postgresql.conf\n");
	ok_helper('n3', 'start');
	is(ok_helper('n3', 'probe')->{postmaster}, 'alive');
	ok(-e "$c->{dir}/a b/n3.log", 'the log lies beside the directory');
	cmp_ok(ok_helper('n3', 'fence', 2)->{killed}, '>=', 3);
	ok_helper('n3', 'start');
	ok_helper('n3', 'restart');
	ok_helper('n3', 'stop', 'immediate');
	is(ok_helper('n3', 'probe')->{processes}, 0);
	spew("$c->{dir}/node.conf", $conf);
};

subtest 'a helper that waits answers like one that is called' => sub {
	my ($in, $out) = ('', '');
	my $h = IPC::Run::start([ ssh_command(), 'regent-node n1 serve' ], '<', \$in, '>', \$out, my $t = IPC::Run::timeout(60));
	my $ask = sub {
		my ($line) = @_;
		$out = '';
		$in .= "$line\n" if defined $line;
		$h->pump until $out =~ /\n/;
		return last_json($out);
	};
	ok($ask->()->{ok}, 'it says that it waits');
	is($ask->('probe')->{postmaster}, 'alive', 'probe');
	my $before = time;
	$ask->('probe') for 1 .. 20;
	diag(sprintf 'probe of a helper that waits, over ssh: %.1f ms', (time - $before) * 1000 / 20);
	is($ask->($_)->{error}, 'usage', 'refused: ' . ($_ =~ s/[^ -~]/?/gr))
	  foreach 'stop fast', 'start', 'serve', '', 'probe;id', 'probe $(id)', 'probe *', 'fence', 'fence x', 'x' x 300, "fence 1\t2";
	is($ask->('fence 1')->{error}, 'stale_term', 'fence');
	$before = time;
	my $f = $ask->('fence 20');
	diag(sprintf 'fence of a helper that waits, over ssh: %.1f ms', (time - $before) * 1000);
	ok($f->{ok} && $f->{killed} > 3 && $f->{left} == 0, 'fence 20');
	is($ask->('probe')->{postmaster}, 'absent', 'and goes on');
	ok_helper('n1', 'start');
	is($ask->('probe')->{postmaster}, 'alive', 'and on');
	$h->kill_kill(grace => 1);
	wait_until(sub { !processes_with(qr/regent-node -c \Q$c->{dir}\E.node\.conf ?$/) }, 10, 'it ends with its channel');
	pass('it ends with its channel');
};

subtest 'speed' => sub {
	foreach my $case ([ 'n2', 'probe' ], [ 'n1', 'probe' ])
	{
		my @ms = sort { $a <=> $b } map {
			my $before = time;
			system("$helper -c $c->{dir}/node.conf @$case >/dev/null");
			(time - $before) * 1000;
		} 1 .. 20;
		diag(sprintf '%s: median %.1f ms', "@$case", $ms[10]);
		cmp_ok($ms[0], '<', 150, "@$case is quick");    # the best: others may use the processor
	}
	my @ms;
	for my $term (30 .. 36)
	{
		ok_helper('n1', 'start');
		unlink dir('n1') . '/standby.signal';
		my $before = time;
		system("$helper -c $c->{dir}/node.conf n1 fence $term >/dev/null");
		push @ms, (time - $before) * 1000;
	}
	@ms = sort { $a <=> $b } @ms;
	diag(sprintf 'fence of a running server, all files written: median %.1f ms', $ms[3]);
	cmp_ok($ms[0], '<', 300, 'fence is quick');
};

done_testing();
