# needs: root
# Hosts that can be cut off: each node, and the watchdog, in a network namespace
# of its own, joined by a bridge in yet another one.  Cut off from the watchdog
# while standbys stream: alive, and its leases come from them (F02).  Cut off
# from everybody: it stops acknowledging by itself, and another one leads once its
# lease has run out (F01, F03).  The watchdog cut off: nothing.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use Test::More;
use Time::HiRes qw(time);

my $user = $ENV{REGENT_TEST_USER} || 'postgres';
my ($uid, $gid) = (getpwnam($user))[ 2, 3 ];
my $id = sprintf 'rg%04x', $$ & 0xffff;
my %host = (n1 => '10.231.0.11', n2 => '10.231.0.12', n3 => '10.231.0.13', w => '10.231.0.10');
my @namespaces;

sub ns { return "$id-$_[0]" }

sub ip { RegentCluster::must([ 'ip', @_ ]) }

sub make_network
{
	ip('netns', 'add', ns('br'));
	push @namespaces, ns('br');
	ip('-n', ns('br'), 'link', 'add', 'br0', 'type', 'bridge');
	ip('-n', ns('br'), 'link', 'set', 'br0', 'up');
	for my $h (sort keys %host)
	{
		ip('netns', 'add', ns($h));
		push @namespaces, ns($h);
		ip('-n', ns('br'), 'link', 'add', "v$h", 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns($h));
		ip('-n', ns('br'), 'link', 'set', "v$h", 'master', 'br0', 'up');
		ip('-n', ns($h), 'addr', 'add', "$host{$h}/24", 'dev', 'eth0');
		ip('-n', ns($h), 'link', 'set', 'eth0', 'up');
		ip('-n', ns($h), 'link', 'set', 'lo', 'up');
	}
}

# Drops everything between $h and the named others, both ways; heal() ends it.
sub cut
{
	my ($h, @others) = @_;
	my $set = join ', ', map { $host{$_} } @others;
	RegentCluster::must([ 'ip', 'netns', 'exec', ns($h), 'nft', '-f', '-' ], stdin => <<"END");
table inet cut {
	chain in { type filter hook input priority 0; ip saddr { $set } drop; }
	chain out { type filter hook output priority 0; ip daddr { $set } drop; }
}
END
}

sub heal { RegentCluster::must([ 'ip', 'netns', 'exec', ns($_[0]), 'nft', 'flush', 'ruleset' ]) }

# A command as the test user, in a host's namespace.
sub on
{
	my ($h, @cmd) = @_;
	return ('ip', 'netns', 'exec', ns($h), 'setpriv', "--reuid=$uid", "--regid=$gid", '--init-groups', @cmd);
}

END
{
	my $status = $?;
	# whatever still runs in our namespaces was started by us
	for my $name (@namespaces)
	{
		my @pids = split /\s+/, `ip netns pids $name 2>/dev/null`;
		kill 'KILL', @pids if @pids;
	}
	RegentCluster::run_command([ 'ip', 'netns', 'del', $_ ]) for @namespaces;
	$? = $status;
}

make_network();

# The cluster of RegentCluster, each part started on its host.
{
	package Hosts;
	our @ISA = ('RegentCluster');

	sub start_server
	{
		my ($self, $name) = @_;
		my $n = $self->node($name);
		system('chown', '-R', "$uid:$gid", $self->{dir});
		RegentCluster::must([ main::on($name, "$RegentCluster::bindir/pg_ctl", '-D', $n->{dir}, '-l', $n->{log}, '-w', '-t', 60, '-s', 'start') ]);
	}

	sub make_primary
	{
		my ($self, $name) = @_;
		my $n = $self->node($name);
		system('chown', '-R', "$uid:$gid", $self->{dir});
		RegentCluster::must([ main::on($name, "$RegentCluster::bindir/initdb", '-N', '-A', 'trust', '-U', 'postgres', '-D', $n->{dir}, '--no-instructions',
			'--locale', 'C', '-E', 'UTF8') ]);
		RegentCluster::spew("$n->{dir}/postgresql.conf", $self->server_conf($name));
		RegentCluster::spew("$n->{dir}/pg_hba.conf", $self->hba);
		$self->start_server($name);
	}

	sub make_standby
	{
		my ($self, $name) = @_;
		my $n = $self->node($name);
		my $p = $self->node('n1');
		RegentCluster::must([ main::on($name, "$RegentCluster::bindir/pg_basebackup", '-D', $n->{dir}, '-h', $p->{host}, '-p', $p->{port}, '-U', 'postgres',
			'-X', 'stream', '-c', 'fast', '-R', '--no-sync') ]);
		RegentCluster::spew("$n->{dir}/postgresql.conf", $self->server_conf($name));
		$self->start_server($name);
	}

	sub regent
	{
		my ($self, @args) = @_;
		return RegentCluster::run_command([ main::on('w', "$RegentCluster::build/regent", '-c', $self->{conf}, @args) ], timeout => 60);
	}

	sub sql
	{
		my ($self, $name, $query) = @_;
		my ($rc, $out, $err) = RegentCluster::run_command([ main::on($name, "$RegentCluster::bindir/psql", '-XqAt', '-d', $self->conninfo($name)) ],
			stdin => $query);
		chomp $out;
		return $rc == 0 ? $out : undef;
	}
}

my $lease = 2;
my $c = Hosts->new(nodes => 3, host => \%host, port => { map { $_ => 5432 } qw(n1 n2 n3) }, no_sshd => 1,
	conf => "unix_socket_directories = ''\n",
	regent => { ssh_user => $user, lease => "${lease}s" });
$c->{ssh_port} = 2222;
$c->make_known_hosts;
$c->write_regent_conf;
system('chown', '-R', "$uid:$gid", $c->dir);
for my $h (qw(n1 n2 n3))
{
	my $conf = $c->dir . "/sshd-$h.conf";
	spew($conf, join("\n", "Port 2222", "ListenAddress $host{$h}", "HostKey " . $c->dir . "/host_ed25519",
		"AuthorizedKeysFile " . $c->dir . "/authorized_keys", "PidFile none", "UsePAM no", "StrictModes no", "PasswordAuthentication no",
		"MaxSessions 20", "MaxStartups 50", ''));
	system('chown', "$uid:$gid", $conf);
	$c->{pids}{"sshd-$h"} = $c->spawn([ on($h, '/usr/sbin/sshd', '-D', '-e', '-f', $conf) ], $c->dir . "/sshd-$h.log");
}
$c->init_cluster;
$c->{regentd} = $c->spawn([ on('w', "$RegentCluster::build/regentd", '-c', $c->{conf}) ], $c->dir . '/regentd.log');
$c->wait_ready;
$c->sql('n1', 'CREATE TABLE t (id bigserial, at text)');

# A write on a host, through its own loopback path: acknowledged?
sub acknowledges { return ($c->sql($_[0], "INSERT INTO t (at) VALUES ('$_[0]') RETURNING 'yes'") // '') eq 'yes' }

# Writes on $h for some seconds: how many were acknowledged, how many not.
sub writes_for
{
	my ($h, $seconds) = @_;
	my ($yes, $no, $end) = (0, 0, time() + $seconds);
	acknowledges($h) ? $yes++ : $no++ while time() < $end;
	return ($yes, $no);
}

sub unchanged
{
	my ($what, $leader, $term) = @_;
	my $s = $c->wait_status(sub { $_[0]{diagnosis} eq 'healthy' && $_[0]{auto_failover}{ready} }, 60, "$what: healthy again");
	is("$s->{leader} $s->{term}", "$leader $term", "$what: same leader, same term");
}

# ---- the watchdog cut off from the primary: standbys stream, clients write ----
my $term = $c->status->{term};
cut('w', 'n1');
my $s = $c->wait_status(sub { $_[0]{diagnosis} =~ /^watchdog cut off/ }, 30, 'watchdog cut off');
pass("watchdog cut off: $s->{diagnosis_text}");
ok(!$s->{auto_failover}{ready}, "not ready: $s->{auto_failover}{reason}");
my ($yes, $no) = writes_for('n1', 3 * $lease);
is($no, 0, "for three leases no write fails: the standbys give the leases ($yes acknowledged)");
is($c->sql('n1', 'SELECT gate FROM regent.node_status()'), 'open', 'its gate is open');
heal('w');
unchanged('watchdog cut off', 'n1', $term);

# ---- the primary cut off from everybody: it closes, then another one leads ----
my $cut_at = time();
cut('n1', qw(w n2 n3));
my $last_ack = time();
wait_until(sub { my $ok = acknowledges('n1'); $last_ack = time() if $ok; !$ok }, 30, 'the primary that is cut off to stop acknowledging');
pass(sprintf 'the primary stopped acknowledging %.1f s after the cut, by itself', $last_ack - $cut_at);
my ($rc, $out, $err) = RegentCluster::run_command([ on('n1', "$RegentCluster::bindir/psql", '-XqAt', '-v', 'VERBOSITY=verbose', '-d', $c->conninfo('n1')) ],
	stdin => "INSERT INTO t (at) VALUES ('x')");
like($err, qr/25006/, 'a write is refused with 25006');
like($err, qr/HINT/, 'and says where to go');
is($c->sql('n1', 'SELECT count(*) > 0 FROM t'), 't', 'reads go on');
my $new;
wait_until(sub { ($new) = grep { acknowledges($_) } qw(n2 n3); $new }, 30, 'another one to take writes');
my $opened = time();
pass(sprintf '%s takes writes %.1f s after the cut (lease %d s)', $new, $opened - $cut_at, $lease);
cmp_ok($opened, '>', $last_ack, 'after the old one had stopped');
ok(!acknowledges('n1'), 'the old one does not');
$s = $c->wait_status(sub { $_[0]{leader} eq $new && $_[0]{phase} eq 'steady' }, 30, 'the failover to end');
cmp_ok($s->{term}, '>', $term, 'a new term');
ok((grep { $_->{event} eq 'failover_begin' && $_->{message} =~ /host lost/ } $c->events), 'begun because the host was lost');
is(RegentCluster::must([ on('n1', "$RegentCluster::bindir/psql", '-XqAt', '-c', 'SHOW default_transaction_read_only', '-d', $c->conninfo('n1')) ]), "on\n",
	'clients that look for a primary pass the old one by');
heal('n1');
$c->wait_node($_, 'ok', 120) for qw(n1 n2 n3);
unchanged('the old primary came back', $new, $s->{term});
is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't', 'as a standby');
my $rows = $c->sql($new, 'SELECT count(*) FROM t');
wait_until(sub { ($c->sql('n1', 'SELECT count(*) FROM t') // '') eq $rows }, 30, 'the same rows');
$term = $s->{term};

# ---- the watchdog cut off from everybody ----
cut('w', qw(n1 n2 n3));
$s = $c->wait_status(sub { $_[0]{diagnosis} eq 'watchdog isolated' }, 30, 'watchdog isolated');
pass("isolated: $s->{diagnosis_text}");
($yes, $no) = writes_for($new, 3 * $lease);
is($no, 0, "for three leases without a watchdog no write fails ($yes acknowledged)");
heal('w');
unchanged('watchdog isolated', $new, $term);

# ---- a standby cut off from its primary only ----
my ($standby) = grep { $_ ne $new } qw(n3 n2);
cut($standby, $new);
$c->wait_node($standby, 'not_streaming', 90);
is($c->status->{leader}, $new, 'a standby that lost its primary changes nothing');
heal($standby);
$c->wait_node($standby, 'ok', 90);
unchanged('standby cut off', $new, $term);
done_testing();
