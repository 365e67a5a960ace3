# RegentCluster.pm
#    A whole cluster on loopback for one test: servers with the extension, a
#    real sshd with throw-away keys, regent-node behind a forced command,
#    regentd and regent.
#
# Why not PostgreSQL::Test::Cluster: its objects own the postmaster that they
# started.  Here servers are killed, fenced, started by the helper, and their
# directories are swapped; what is true is asked of the directory each time.
#
# Everything lives in one temporary directory; everything that was started is
# ended by pid, also when the test dies.  Waits poll with a bound.
package RegentCluster;

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IO::Socket::UNIX;
use IPC::Run ();
use JSON::PP ();
use POSIX qw(:sys_wait_h);
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(slurp spew free_port wait_until run_command lsn_number answer_of);

our $top = abs_path(dirname(__FILE__) . '/../..');
our $bindir = $ENV{PG_CONFIG} ? dirname($ENV{PG_CONFIG}) : (sort glob('/usr/lib/postgresql/*/bin'))[-1];
our ($major) = `$bindir/postgres --version` =~ /\(PostgreSQL\) (\d+)/;
our $build = $ENV{REGENTD_BUILD} || "$top/watchdog/build";
our $slow = ($ENV{REGENTD_WRAPPER} || $build =~ /-san/) ? 5 : 1;    # for bounds, not for waits
my @clusters;

sub slurp
{
	my ($file) = @_;
	open(my $fh, '<', $file) or return undef;
	local $/;
	my $text = <$fh>;
	close $fh;
	return $text;
}

sub spew
{
	my ($file, $text, $mode) = @_;
	open(my $fh, '>', $file) or die "can't write $file: $!";
	print $fh $text;
	close $fh or die "can't write $file: $!";
	chmod $mode, $file if defined $mode;
}

# A port that is free now, below those that the kernel gives out; chosen at random,
# and no other test on this machine gets it while this one runs, for what it was given
# for may not listen yet, or not at the moment.  A name without a file says that it
# is taken, and is gone with the process, however that ends.
my %given_ports;

sub free_port
{
	my ($address) = @_;
	for (1 .. 200)
	{
		my $port = 11000 + int(rand(21000));
		next if $given_ports{$port};
		my $name = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "\0regent-test-port-$port", Listen => 1) or next;
		my $s = IO::Socket::INET->new(LocalAddr => $address || '127.0.0.1', LocalPort => $port,
			Proto => 'tcp', Listen => 1, ReuseAddr => 0) or next;
		close $s;
		$given_ports{$port} = $name;
		return $port;
	}
	die "no free port";
}

# Polls until the code returns true; dies at the bound with what and the last words of more().
sub wait_until
{
	my ($code, $timeout, $what, $more) = @_;
	my $end = time() + $timeout;
	my $pause = 0.005;
	while (1)
	{
		my $value = $code->();
		return $value if $value;
		last if time() > $end;
		sleep($pause);
		$pause *= 1.5 if $pause < 0.1;
	}
	die "timed out after $timeout s waiting for: $what" . ($more ? "\n" . $more->() : '') . "\n";
}

# (exit status, stdout, stderr); 124 past the timeout
sub run_command
{
	my ($cmd, %o) = @_;
	my ($out, $err) = ('', '');
	my $in = defined $o{stdin} ? $o{stdin} : '';
	local %ENV = (%ENV, %{ $o{env} || {} });
	local $SIG{PIPE} = sub { };    # it may end before it has read its input; not inherited
	my $h = eval {
		IPC::Run::start($cmd, '<', \$in, '>', \$out, '2>', \$err,
			my $t = IPC::Run::timeout($o{timeout} || 60));
	};
	return (127, '', $@) unless $h;
	my $ok = eval { $h->finish; 1 };
	if (!$ok)
	{
		$h->kill_kill(grace => 1);
		return (124, $out, $err . $@);
	}
	my $status = $h->full_result(0);
	my $rc = ($status & 127) ? 128 + ($status & 127) : $status >> 8;
	return ($rc, $out, $err);
}

sub must
{
	my ($cmd, %o) = @_;
	my ($rc, $out, $err) = run_command($cmd, %o);
	die "command failed ($rc): @$cmd\n$out$err" if $rc != 0;
	return $out;
}

sub lsn_number
{
	my ($hi, $lo) = split m{/}, $_[0];
	return hex($hi) * 4294967296 + hex($lo);
}

# ---- building ----

# new(nodes => 3, conf => "lines of postgresql.conf", regent => {key => value},
#     node_regent => {n1 => {priority => 0}}, http => 1, host => {n1 => '10.1.0.1'},
#     auth => 'trust'|'scram', sync => "ANY 1 (n1,n2,n3)", initdb => ['-k'], keep => 1, servers => 0|1, extension => 0|1)
sub new
{
	my ($class, %o) = @_;
	my $dir = abs_path(tempdir('regent-XXXXXX', DIR => $ENV{REGENT_TMP} || '/tmp', CLEANUP => 0));
	my $self = bless {
		o => \%o, dir => $dir, pids => {}, regentd => undef, pid_of_test => $$,
		names => [ map { "n$_" } 1 .. ($o{nodes} || 3) ], nodes => {} }, $class;
	push @clusters, $self;
	chmod 0700, $dir;
	mkdir "$dir/state", 0700;
	mkdir "$dir/run", 0700;
	for my $name (@{ $self->{names} })
	{
		my $host = $o{host}{$name} || '127.0.0.1';
		$self->{nodes}{$name} = { name => $name, host => $host, dir => "$dir/$name/data",
			log => "$dir/$name/server.log", port => $o{port}{$name} || free_port() };
		make_path("$dir/$name");
	}
	$self->{http} = '127.0.0.1:' . free_port() if $o{http};
	$self->make_keys;
	$self->write_node_conf;
	$self->write_regent_conf;
	$self->{ssh_port} ||= free_port();
	$self->start_sshd unless $o{no_sshd};
	$self->make_known_hosts unless $o{no_sshd};
	$self->write_regent_conf;
	if (!defined $o{servers} || $o{servers})
	{
		$self->make_primary($self->{names}[0]);
		$self->make_standby($_) for @{ $self->{names} }[ 1 .. $#{ $self->{names} } ];
	}
	return $self;
}

sub names { return @{ $_[0]{names} } }
sub node { return $_[0]{nodes}{ $_[1] } }
sub dir { return $_[0]{dir} }

# While a server is no node yet, it may write: long enough for any test.
sub adopting_until { return POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime(time() + 4 * 3600)) }

sub server_conf
{
	my ($self, $name) = @_;
	my $n = $self->node($name);
	my $sync = $self->{o}{sync} ? "synchronous_standby_names = '$self->{o}{sync}'\n" : '';
	my $extension = $self->{o}{extension} // 1 ? "shared_preload_libraries = 'pg_regent'\nregent.node_name = '$name'\n"
		. "regent.adopting = '" . adopting_until() . "'\n" : '';
	return <<"END";
# written by the test
listen_addresses = '$n->{host}'
port = $n->{port}
unix_socket_directories = '$self->{dir}/run'
${extension}wal_level = replica
hot_standby = on
max_wal_senders = 10
max_replication_slots = 10
max_connections = 50
wal_log_hints = on
wal_retrieve_retry_interval = 10ms
wal_receiver_status_interval = 1s
shared_buffers = 32MB
max_wal_size = 256MB
log_line_prefix = '%m [%p] %b %a '
log_replication_commands = on
lc_messages = C
${sync}@{[ $self->{o}{conf} || '' ]}
END
}

sub hba
{
	my ($self) = @_;
	my $method = ($self->{o}{auth} || 'trust') eq 'scram' ? 'scram-sha-256' : 'trust';
	return <<"END";
local all         all                trust
host  all         postgres           0.0.0.0/0  trust
host  replication postgres           0.0.0.0/0  trust
host  all         all                0.0.0.0/0  $method
host  replication all                0.0.0.0/0  $method
END
}

sub make_primary
{
	my ($self, $name) = @_;
	my $n = $self->node($name);
	must([ "$bindir/initdb", '-N', '-A', 'trust', '-U', 'postgres', '-D', $n->{dir}, '--no-instructions',
		'--locale', 'C', '-E', 'UTF8', @{ $self->{o}{initdb} || [] } ]);
	spew("$n->{dir}/postgresql.conf", $self->server_conf($name));
	spew("$n->{dir}/pg_hba.conf", $self->hba);
	$self->start_server($name);
}

sub make_standby
{
	my ($self, $name, $from) = @_;
	my $n = $self->node($name);
	my $p = $self->node($from || $self->{names}[0]);
	must([ "$bindir/pg_basebackup", '-D', $n->{dir}, '-h', $p->{host}, '-p', $p->{port}, '-U', 'postgres',
		'-X', 'stream', '-c', 'fast', '-R', '--no-sync' ], timeout => 300);
	spew("$n->{dir}/postgresql.conf", $self->server_conf($name));
	unlink "$n->{dir}/regent.state";
	$self->start_server($name);
}

# ---- servers ----

# A killed postmaster is a zombie until init collects it, and the server takes
# its lock files for those of a living one: wait for that.
sub wait_collected
{
	my ($self, $name) = @_;
	my $n = $self->node($name);
	my %pids;
	for my $file ("$n->{dir}/postmaster.pid", "$self->{dir}/run/.s.PGSQL.$n->{port}.lock")
	{
		my ($pid) = split /\n/, slurp($file) || '';
		$pids{$pid} = 1 if $pid && $pid =~ /^[1-9]\d*$/;
	}
	wait_until(sub { !grep { kill 0, $_ } keys %pids }, 20, "init to collect the old postmaster of $name") if %pids && !$self->postmaster($name);
}

sub start_server
{
	my ($self, $name) = @_;
	my $n = $self->node($name);
	$self->wait_collected($name);
	must([ "$bindir/pg_ctl", '-D', $n->{dir}, '-l', $n->{log}, '-w', '-t', 60, '-s', 'start' ],
		timeout => 90);
}

sub stop_server
{
	my ($self, $name, $mode) = @_;
	must([ "$bindir/pg_ctl", '-D', $self->node($name)->{dir}, '-w', '-t', 60, '-s', '-m', $mode || 'fast', 'stop' ],
		timeout => 90);
}

# The pid of the postmaster that runs in the node's directory, or undef.
sub postmaster
{
	my ($self, $name) = @_;
	my $text = slurp($self->node($name)->{dir} . '/postmaster.pid') or return undef;
	my ($pid) = split /\n/, $text;
	return undef unless $pid && $pid =~ /^\d+$/;
	# a zombie works nowhere, and its number may long be another process's
	my $works_in = readlink("/proc/$pid/cwd") or return undef;
	return $works_in eq $self->node($name)->{dir} ? $pid : undef;
}

# All processes of a server, zombies left out.
sub processes
{
	my ($self, $name) = @_;
	my $dir = $self->node($name)->{dir};
	my @pids;
	for my $cwd (glob '/proc/[0-9]*/cwd')
	{
		my $to = readlink($cwd) or next;
		next unless $to eq $dir;
		my ($pid) = $cwd =~ /(\d+)/;
		my $comm = slurp("/proc/$pid/comm") || '';
		push @pids, $pid if $comm =~ /^postgres/;
	}
	return @pids;
}

sub kill_primary { my ($self, $name) = @_; return $self->kill_server($name) }

# SIGKILL of the postmaster; returns when it happened.
sub kill_server
{
	my ($self, $name, $sig) = @_;
	my $pid = $self->postmaster($name) or die "$name does not run";
	my $t = time();
	kill($sig || 'KILL', $pid) or die "can't signal $name: $!";
	return $t;
}

sub conninfo
{
	my ($self, $name, $extra) = @_;
	my $n = $self->node($name);
	return "host=$n->{host} port=$n->{port} user=postgres dbname=postgres connect_timeout=5 " . ($extra || '');
}

# One query as superuser; dies on an error unless { may_fail } (then undef).
sub sql
{
	my ($self, $name, $query, %o) = @_;
	my ($rc, $out, $err) = run_command([ "$bindir/psql", '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d',
		$self->conninfo($name, $o{conninfo}) ], stdin => $query, timeout => $o{timeout} || 30);
	chomp $out;
	$self->{sql_error} = $err;
	return $out if $rc == 0;
	return undef if $o{may_fail};
	die "query failed on $name: $query\n$err";
}

sub primary_by_sql
{
	my ($self) = @_;
	for my $name ($self->names)
	{
		next unless $self->postmaster($name);
		my $r = $self->sql($name, 'SELECT pg_is_in_recovery()', may_fail => 1);
		return $name if defined $r && $r eq 'f';
	}
	return undef;
}

# Waits until every named standby has replayed all that the primary has.
sub wait_caught_up
{
	my ($self, $primary, @standbys) = @_;
	my $lsn = $self->sql($primary, 'SELECT pg_current_wal_lsn()');
	for my $s (@standbys)
	{
		wait_until(sub {
			($self->sql($s, "SELECT pg_last_wal_replay_lsn() >= '$lsn'", may_fail => 1) // '') eq 't' },
			30, "$s to replay $lsn");
	}
}

# ---- ssh ----

sub make_keys
{
	my ($self) = @_;
	my $d = $self->{dir};
	must([ 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'regent-test', '-f', "$d/id_ed25519" ]);
	must([ 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'host', '-f', "$d/host_ed25519" ]);
	my $key = slurp("$d/id_ed25519.pub");
	my $helper = "$top/scripts/regent-node";
	spew("$d/authorized_keys", qq{restrict,command="$helper -c $d/node.conf" $key}, 0600);
}

sub start_sshd
{
	my ($self, %o) = @_;
	my $d = $self->{dir};
	my $name = $o{name} || 'sshd';
	my $address = $o{address} || '127.0.0.1';
	my $port = $o{port} || $self->{ssh_port};
	spew("$d/$name.conf", <<"END");
Port $port
ListenAddress $address
HostKey $d/host_ed25519
AuthorizedKeysFile $d/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
MaxSessions 20
MaxStartups 50
LogLevel VERBOSE
END
	$self->{pids}{$name} = $self->spawn([ '/usr/sbin/sshd', '-D', '-e', '-f', "$d/$name.conf" ], "$d/$name.log",
		%{ $o{spawn} || {} });
	return if $o{no_wait};
	wait_until(sub { IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port) }, 10, 'sshd');
}

sub make_known_hosts
{
	my ($self) = @_;
	my $d = $self->{dir};
	my ($type, $key) = split / /, slurp("$d/host_ed25519.pub");
	my %seen;
	my $text = '';
	for my $name ($self->names)
	{
		my $host = $self->node($name)->{host};
		my $port = $self->{ssh_port};
		my $as = $port == 22 ? $host : "[$host]:$port";
		$text .= "$as $type $key\n" unless $seen{$as}++;
	}
	spew("$d/known_hosts", $text);
}

# regent-node over the real ssh client
sub ssh_helper
{
	my ($self, $name, @words) = @_;
	my $d = $self->{dir};
	return run_command([ 'ssh', '-F', 'none', '-o', "UserKnownHostsFile=$d/known_hosts", '-o', 'BatchMode=yes',
		'-i', "$d/id_ed25519", '-o', 'IdentitiesOnly=yes', '-p', $self->{ssh_port},
		$self->node($name)->{host}, 'regent-node', $name, @words ], timeout => 120);
}

sub helper
{
	my ($self, $name, @words) = @_;
	return run_command([ "$top/scripts/regent-node", '-c', "$self->{dir}/node.conf", $name, @words ], timeout => 120);
}

# answer_of(OUTPUT...): what the helper answered, its last line of JSON; {all}: every word
sub answer_of
{
	my $text = join "", @_;
	my @lines = grep { /^\{/ } split /\n/, $text;
	my $answer = eval { JSON::PP::decode_json($lines[-1]) } // {};
	$answer->{all} = $text;
	return $answer;
}

# ---- configuration, regentd, regent ----

sub write_node_conf
{
	my ($self) = @_;
	my $text = '';
	for my $name ($self->names)
	{
		my $n = $self->node($name);
		$text .= "[$name]\ndata_directory = $n->{dir}\nbin_directory = $bindir\nport = $n->{port}\n"
			. "start = pg_ctl\nlog_file = $n->{log}\n\n";
	}
	spew("$self->{dir}/node.conf", $text);
}

sub write_regent_conf
{
	my ($self, %change) = @_;
	my $d = $self->{dir};
	my $user = getpwuid($>);
	my %c = (name => 'main', user => 'regent', database => 'postgres', replication_user => 'regent_replication',
		ssh_user => $user, ssh_key => "$d/id_ed25519", ssh_known_hosts => "$d/known_hosts",
		state_directory => "$d/state", control_socket => "$d/run/main.sock", passfile => "$d/passfile",
		replication_passfile => "$d/pgpass",
		($self->{http} ? (http_listen => $self->{http}) : ()),
		%{ $self->{o}{regent} || {} }, %change);
	spew("$d/passfile", "*:*:*:regent:regent-test-1\n*:*:*:regent_replication:regent-test-2\n", 0600);
	spew("$d/pgpass", "*:*:*:regent_replication:regent-test-2\n", 0600);
	my $text = "[cluster]\n" . join('', map { "$_ = $c{$_}\n" } sort keys %c);
	for my $name ($self->names)
	{
		my $n = $self->node($name);
		my %k = (host => $n->{host}, port => $n->{port}, ssh_port => $self->{ssh_port} || 22,
			%{ $self->{o}{node_regent}{$name} || {} });
		$text .= "\n[node $name]\n" . join('', map { "$_ = $k{$_}\n" } sort keys %k);
	}
	$self->{conf} = "$d/regent.conf";
	spew($self->{conf}, $text, 0600);
}

sub regent
{
	my ($self, @args) = @_;
	return run_command([ "$build/regent", '-c', $self->{conf}, @args ], timeout => 120);
}

sub init_cluster
{
	my ($self) = @_;
	my ($rc, $out, $err) = $self->regent('init', '--admin-conninfo', 'user=postgres dbname=postgres');
	die "regent init failed ($rc)\n$out$err" if $rc != 0;
	return $out;
}

# Starts a process of its own group whose output goes to a file.
sub spawn
{
	my ($self, $cmd, $log, %o) = @_;
	my $pid = fork();
	die "can't fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		setpgrp(0, 0);
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $log);
		open(STDERR, '>>', $log);
		defined $o{env}{$_} ? ($ENV{$_} = $o{env}{$_}) : delete $ENV{$_} for keys %{ $o{env} || {} };
		exec { $cmd->[0] } @$cmd or POSIX::_exit(127);
	}
	return $pid;
}

sub start_regentd
{
	my ($self, %o) = @_;
	my $d = $self->{dir};
	my @wrapper = @{ $o{wrapper} || [] };
	@wrapper = ('valgrind', '-q', '--error-exitcode=99', '--leak-check=full', '--errors-for-leak-kinds=definite',
		"--log-file=$d/valgrind.log")
		if !@wrapper && ($ENV{REGENTD_WRAPPER} || '') eq 'valgrind';
	$self->{regentd} = $self->spawn([ @wrapper, "$build/regentd", '-c', $self->{conf} ], "$d/regentd.log",
		env => $o{env});
	$self->wait_status(sub { 1 }, 20 * $slow, 'regentd to answer') unless $o{no_wait};
}

# Ends it; returns its wait status.
sub stop_regentd
{
	my ($self, $sig) = @_;
	my $pid = delete $self->{regentd} or return undef;
	kill($sig || 'TERM', $pid);
	return reap($pid, 20 * $slow);
}

sub kill9_regentd { my ($self) = @_; return $self->stop_regentd('KILL') }

# Waits for a child of ours; undef (and SIGKILL) past the bound.
sub reap
{
	my ($pid, $timeout) = @_;
	my $end = time() + $timeout;
	while (time() < $end)
	{
		my $got = waitpid($pid, WNOHANG);
		return $? if $got == $pid || $got == -1;
		sleep(0.01);
	}
	kill('KILL', $pid);
	waitpid($pid, 0);
	return undef;
}

sub regentd_has_ended
{
	my ($self) = @_;
	my $pid = $self->{regentd} or return 1;
	return 0 if waitpid($pid, WNOHANG) == 0;
	delete $self->{regentd};
	return 1;
}

# Decoded `regent --json status`, or undef when regentd does not answer.
sub status
{
	my ($self) = @_;
	my ($rc, $out) = $self->regent('--json', 'status');
	return undef if $out eq '';
	return eval { JSON::PP::decode_json($out) };
}

sub node_of
{
	my ($status, $name) = @_;
	my ($n) = grep { $_->{name} eq $name } @{ $status->{nodes} };
	return $n;
}

sub wait_status
{
	my ($self, $code, $timeout, $what) = @_;
	my $last;
	return wait_until(sub { $last = $self->status; $last && $code->($last) ? $last : undef }, $timeout, $what,
		sub { JSON::PP->new->canonical->pretty->encode($last || {}) . $self->regentd_log_tail });
}

# Steady, every node is ok, and the leader may write: a server that has just started is ok
# before its first lease.
sub wait_whole
{
	my ($self, $what) = @_;
	return $self->wait_status(sub {
			my ($s) = @_;
			my $leader = node_of($s, $s->{leader});
			return $s->{phase} eq 'steady' && $leader && $leader->{writable} && !grep { $_->{state} ne 'ok' } @{ $s->{nodes} };
		}, 150 * $slow, $what || 'a whole cluster');
}

# Every process of these nodes' servers is killed, whoever starts another one meanwhile.
sub power_off
{
	my ($self, @names) = @_;
	for my $name (@names)
	{
		wait_until(sub { my @p = $self->processes($name); kill 'KILL', @p if @p; !@p }, 20, "$name to be off");
	}
	return;
}

# Their servers are started, unless somebody else is faster.
sub power_on
{
	my ($self, @names) = @_;
	for my $name (@names)
	{
		wait_until(sub { $self->postmaster($name) || eval { $self->start_server($name); 1 } }, 60, "$name to run");
	}
	return;
}

sub regentd_log_tail
{
	my ($self) = @_;
	my @lines = split /\n/, slurp("$self->{dir}/regentd.log") || '';
	return join("\n", @lines > 30 ? @lines[ -30 .. -1 ] : @lines) . "\n";
}

sub wait_ready
{
	my ($self, $timeout) = @_;
	# by a fence, that is: without one it is ready, too, but only by the end of a lease
	return $self->wait_status(sub { my $f = $_[0]{auto_failover}; $f->{ready} && $f->{reason} !~ /could not be fenced/ },
		($timeout || 30) * $slow, 'automatic failover to be ready');
}

# The leader is not $old, the phase is steady and its gate is open.
sub wait_failover
{
	my ($self, $old, $timeout) = @_;
	return $self->wait_status(sub { my ($s) = @_; ($s->{leader} // '') ne $old && $s->{phase} eq 'steady'
				&& node_of($s, $s->{leader})->{gate} eq 'open' },
		($timeout || 30) * $slow, "a leader instead of $old");
}

sub wait_node
{
	my ($self, $name, $state, $timeout) = @_;
	return $self->wait_status(sub { node_of($_[0], $name)->{state} eq $state },
		($timeout || 60) * $slow, "$name to be $state");
}

sub events
{
	my ($self) = @_;
	my ($rc, $out) = $self->regent('--json', 'events');
	my $json = eval { JSON::PP::decode_json($out) };
	return ref $json eq 'HASH' ? @{ $json->{events} } : ref $json eq 'ARRAY' ? @$json : ();
}

sub wait_event
{
	my ($self, $name, $timeout, $match) = @_;
	return wait_until(sub {
		my ($e) = grep { $_->{event} eq $name && (!$match || $_->{message} =~ $match) } $self->events;
		$e }, ($timeout || 30) * $slow, "event $name", sub { $self->regentd_log_tail });
}

# Everything up: servers, init, regentd, ready.
sub up
{
	my ($self) = @_;
	$self->init_cluster;
	$self->start_regentd;
	$self->wait_ready;
	return $self;
}

# ---- load ----

sub start_load
{
	my ($self, %o) = @_;
	my $d = $self->{dir};
	my $primary = $o{primary} || $self->{names}[0];
	$self->sql($primary, 'CREATE TABLE IF NOT EXISTS regent_load (id bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())');
	my $hosts = join ',', map { my $n = $self->node($_); "$n->{host}:$n->{port}" } $self->names;
	my $out = "$d/load" . ++$self->{loads};
	unlink "$out.json";
	my $pid = $self->spawn([ "$top/test/bench/build/regent-load", '--hosts', $hosts, '--conninfo',
		'user=postgres dbname=postgres', '--out', "$out.txt", @{ $o{args} || [] } ], "$out.json");
	$self->{pids}{$out} = $pid;
	my $load = { pid => $pid, file => "$out.txt", json => "$out.json", key => $out };
	wait_until(sub { -s $load->{file} }, 20, 'the first acknowledged row',
		sub { slurp($load->{json}) || '' });
	return $load;
}

# Ends it; its summary, with the acknowledged ids in {ids}.
sub stop_load
{
	my ($self, $load) = @_;
	kill('TERM', $load->{pid});
	reap($load->{pid}, 10);
	delete $self->{pids}{ $load->{key} };
	my ($line) = grep { /^\{/ } split /\n/, slurp($load->{json}) || '';
	my $json = JSON::PP::decode_json($line || '{}');
	$json->{ids} = [ map { (split)[0] } split /\n/, slurp($load->{file}) || '' ];
	return $json;
}

# How many of these acknowledged ids are missing on a node.
sub missing_rows
{
	my ($self, $name, $ids) = @_;
	my %there = map { $_ => 1 } split /\n/, $self->sql($name, 'SELECT id FROM regent_load');
	return scalar grep { !$there{$_} } @$ids;
}

# ---- end ----

# A killed server leaves its SysV segment behind; the next start would remove it,
# but there is none.
sub remove_shared_memory
{
	my ($self, $name) = @_;
	for my $file (glob "$self->{dir}/$name/data*/postmaster.pid")
	{
		my $line = (split /\n/, slurp($file) || '')[6] or next;
		my ($id) = $line =~ /\d+\s+(\d+)/ or next;
		run_command([ 'ipcrm', '-m', $id ]);
	}
}

sub stop_all
{
	my ($self) = @_;
	$self->stop_regentd if $self->{regentd};
	for my $name (keys %{ $self->{nodes} })
	{
		for (1 .. 50)
		{
			my @pids = $self->processes($name);
			last unless @pids;
			kill('CONT', @pids);
			kill('KILL', @pids);
			sleep(0.02);
		}
		$self->remove_shared_memory($name);
	}
	for my $key (keys %{ $self->{pids} })
	{
		my $pid = delete $self->{pids}{$key};
		kill('KILL', -$pid);
		kill('KILL', $pid);
		waitpid($pid, 0);
	}
	$self->{stopped} = 1;
}

sub finish
{
	my ($self, $failed) = @_;
	return if $self->{pid_of_test} != $$ || $self->{finished}++;
	$self->stop_all;
	if ($failed || $self->{o}{keep} || $ENV{REGENT_KEEP})
	{
		print STDERR "# kept for a look: $self->{dir}\n";
	}
	else
	{
		remove_tree($self->{dir});
	}
}

$SIG{$_} = sub { exit(1) } for qw(INT TERM HUP);

END
{
	my $status = $?;
	my $failed = $status != 0;
	$SIG{PIPE} = 'IGNORE';    # prove may be gone; what was started is ended all the same
	$failed = 1 if Test::More->can('builder') && !Test::More->builder->is_passing;
	$_->finish($failed) for grep { $_ && $_->{pid_of_test} == $$ } @clusters;
	$? = $status;
}

1;
