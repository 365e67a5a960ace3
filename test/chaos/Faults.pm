# Faults.pm
#    What can be done to the hosts, one verb each, and its end.
#
# Nothing here waits: a verb acts and returns, so that a plan keeps its times.
# Every act is noted with its time.  Two records help to judge acknowledgements
# later: which node stood still from when to when, and when the path between a
# node and the clients was disturbed (an acknowledgement may then be older than
# its arrival).
package Faults;

use strict;
use warnings;
use RegentCluster qw(run_command);
use Time::HiRes qw(sleep);

my %verbs = (
	kill => \&do_kill,
	freeze => \&do_freeze,
	wake => \&do_wake,
	cut => \&do_cut,
	heal => \&do_heal,
	loss => \&do_loss,
	delay => \&do_delay,
	off => \&do_off,
	on => \&do_on,
	start => \&do_start,
	stop => \&do_stop,
	restart => \&do_restart,
	cancel => \&do_cancel,
	unsync => \&do_unsync,
	fill => \&do_fill,
	free => \&do_free,
	walswitch => \&do_walswitch,
	# orders
	switchover => sub { my ($self, $role, @o) = @_; return $self->order('switchover', $role ? $self->host($role)->name : (), @o) },
	set => sub { my ($self, @o) = @_; return $self->order('set', @o) },
	rebuild => \&do_rebuild,
	cancel_job => \&do_cancel_job,
	add => \&do_add,
	remove => sub { my ($self, $role, @o) = @_; return $self->order('node', 'remove', $self->host($role)->name, @o) },
);

# How to find a part of a server by the title of its process.
my %titles = (
	server => qr/^postgres|^\S+\/postgres /,
	worker => qr/^postgres: (?:\S+: )?pg_regent/,
	backend => qr/^postgres: (?:\S+: )?chaos /,
	walreceiver => qr/^postgres: (?:\S+: )?walreceiver/,
);

sub new
{
	my ($class, %o) = @_;
	return bless { %o, acts => [], still => [], paths => [], role => {} }, $class;
}

# L leads now, A and B are its standbys, D is an empty host.
sub begin
{
	my ($self, $leader, $rng) = @_;
	my ($a, $b) = $rng->shuffle(grep { $_ ne $leader } @Cluster::first);
	$self->{role} = { L => $leader, A => $a, B => $b, D => $Cluster::spare, w => 'w', c => 'c' };
	$self->{$_} = [] for qw(acts still paths);
	delete @{$self}{qw(regentd_back first_at status)};
}

# The host of a role; N is whoever acknowledged last.
sub host
{
	my ($self, $role) = @_;
	my $name = $role eq 'N' ? ($self->{load}{last_ack} || {})->{node} // $self->{role}{L} : $self->{role}{$role};
	return $self->{cluster}->host($name // die "no role $role");
}

sub act
{
	my ($self, $verb, @args) = @_;
	my $at = Util::now();
	my $code = $verbs{$verb} or die "no verb $verb";
	$self->{first_at} //= $at;
	my $what = eval { $code->($self, @args) };
	$what = "failed: $@" if $@;
	push @{ $self->{acts} }, [ $at, join(' ', $verb, @args), $what // '' ];
}

# ---- processes ----

sub targets
{
	my ($self, $h, $what) = @_;
	my $c = $self->{cluster};
	return $c->regentd_pid // () if $what eq 'regentd';
	return $c->postmaster($h->name) // () if $what eq 'postmaster';
	my @pids = sort { $a <=> $b } $h->find($titles{$what} // die "no part $what");
	return @pids if $what ne 'backend';
	# one is enough: one that is committing, if there is any
	my ($one) = ((grep { Host::title_of($_) =~ / (?:INSERT|COMMIT)/ } @pids), @pids);
	return $one // ();
}

sub do_kill
{
	my ($self, $role, $what, $back) = @_;
	return $self->{load}->kill_load if $what eq 'load';
	my $h = $self->host($role);
	my @pids = $self->targets($h, $what);
	kill('KILL', @pids) if @pids;
	$self->{regentd_back} = Util::now() + ($back // 0.5) if $what eq 'regentd';
	return $h->name . ': ' . scalar(@pids) . ' processes';
}

sub do_freeze
{
	my ($self, $role, $what) = @_;
	my $h = $self->host($role);
	push @{ $self->{still} }, { node => $h->name, what => $what, from => Util::now() };
	if ($what eq 'host')
	{
		$h->freeze;
		return $h->name;
	}
	my @pids = $self->targets($h, $what);
	kill('STOP', @pids) if @pids;
	return $h->name . ': ' . scalar(@pids) . ' processes';
}

sub do_wake
{
	my ($self, $role) = @_;
	my $h = $self->host($role);
	$_->{to} //= Util::now() for grep { $_->{node} eq $h->name } @{ $self->{still} };
	$h->wake;
	return $h->name;
}

sub do_off
{
	my ($self, $role) = @_;
	my $h = $self->host($role);
	$self->disturb($h->name);
	$h->power_off;
	return $h->name;
}

# auto: the service manager starts the server, too.
sub do_on
{
	my ($self, $role, $auto) = @_;
	my $h = $self->host($role);
	return $h->name . ' is up' if $h->is_up;
	$h->boot;
	$self->{cluster}->start_server($h->name) if $auto && $h->name =~ /^n/;
	$self->{regentd_back} = Util::now() + 0.2 if $h->name eq 'w';
	return $h->name . ($auto ? ', server started' : '');
}

sub do_start
{
	my ($self, $role) = @_;
	my $h = $self->host($role);
	return $h->name . ' is off' unless $h->is_up;
	$self->{cluster}->start_server($h->name);
	return $h->name;
}

sub do_stop
{
	my ($self, $role, $mode) = @_;
	my $h = $self->host($role);
	$h->start([ "$RegentCluster::bindir/pg_ctl", '-D', $self->{cluster}->data($h->name), '-s', '-W', '-m', $mode, 'stop' ], $h->dir . '/by-hand.log');
	return $h->name;
}

sub do_restart
{
	my ($self, $role, $mode) = @_;
	my $h = $self->host($role);
	$h->start([ "$RegentCluster::bindir/pg_ctl", '-D', $self->{cluster}->data($h->name), '-l', $h->dir . '/server.log', '-s', '-W', '-m', $mode, 'restart' ],
		$h->dir . '/by-hand.log');
	return $h->name;
}

# What an impatient superuser does to commits that wait for standbys.
sub do_by_superuser
{
	my ($self, $role, @queries) = @_;
	my $h = $self->host($role);
	$h->start([ "$RegentCluster::bindir/psql", '-XqAt', '-h', $h->dir . '/run', '-U', 'postgres', '-d', 'postgres', map { ('-c', $_) } @queries ],
		$h->dir . '/by-hand.log');
	return $h->name;
}

sub do_cancel
{
	my ($self, $role) = @_;
	return $self->do_by_superuser($role, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE usename = 'chaos'");
}

# Only where the names are needed at all; peace sets them again.
sub do_unsync
{
	my ($self, $role) = @_;
	return 'async' if $self->{cluster}{durability} eq 'async';
	push @{ $self->{unsynced} }, $self->host($role)->name;
	return $self->do_by_superuser($role, "ALTER SYSTEM SET synchronous_standby_names = ''", 'SELECT pg_reload_conf()');
}

# ---- network ----

sub disturb
{
	my ($self, $name) = @_;
	push @{ $self->{paths} }, { node => $name, from => Util::now() };
}

# cut FROM TO how style: TO a role, "cluster" (all but the clients) or "everyone";
# how: both, out (what FROM sends is lost), in; style: all frames or only ip.
sub do_cut
{
	my ($self, $role, $to, $how, $style) = @_;
	my $name = $self->host($role)->name;
	my @others = $to eq 'everyone' ? sort keys %Cluster::number
		: $to eq 'cluster' ? (@Cluster::nodes, 'w')
		: $self->host($to)->name;
	for my $other (grep { $_ ne $name } @others)
	{
		$self->disturb($_) for $other eq 'c' ? $name : $name eq 'c' ? $other : ();
		my @pairs = ($how ne 'in' ? [ $name, $other ] : (), $how ne 'out' ? [ $other, $name ] : ());
		$self->{cluster}{net}->add(from => $_->[0], to => $_->[1], only_ip => $style eq 'ip') for @pairs;
	}
	$self->{cluster}{net}->apply;
	return $name;
}

sub do_loss
{
	my ($self, $role, $percent) = @_;
	my $name = $self->host($role)->name;
	$self->disturb($name);
	for my $other (grep { $_ ne $name } keys %Cluster::number)
	{
		$self->{cluster}{net}->add(from => $_->[0], to => $_->[1], percent => $percent) for [ $name, $other ], [ $other, $name ];
	}
	$self->{cluster}{net}->apply;
	return $name;
}

sub do_delay
{
	my ($self, $role, $out, $in) = @_;
	my $name = $self->host($role)->name;
	$self->disturb($name);
	$self->{cluster}{net}->delay($name, $out, $in);
	return $name;
}

# All cuts, losses and delays end.
sub do_heal
{
	my ($self) = @_;
	my $net = $self->{cluster}{net};
	$net->clear;
	$net->apply;
	$net->undelay_all;
	$_->{to} //= Util::now() for @{ $self->{paths} };
	return '';
}

# ---- disk ----

# Leaves that many kB.
sub do_fill
{
	my ($self, $role, $left_kb) = @_;
	my $h = $self->host($role);
	my $free = (split ' ', (run_command([ 'df', '-k', '--output=avail', $h->dir ]))[1])[1];
	my $size = $free - $left_kb;
	RegentCluster::must([ 'fallocate', '-l', "${size}K", $h->dir . '/ballast' ]) if $size > 0;
	return $h->name . ": $size kB";
}

sub do_free
{
	my ($self, $role) = @_;
	unlink $self->host($role)->dir . '/ballast';
	return $self->host($role)->name;
}

# Makes the server want new segments of WAL.
sub do_walswitch
{
	my ($self, $role) = @_;
	return $self->do_by_superuser($role, map { "SELECT pg_logical_emit_message(false, 'chaos', 'x'), pg_switch_wal()" } 1 .. 8);
}

# ---- orders ----

# Asked for and not waited for.
sub order
{
	my ($self, @args) = @_;
	$self->{orders}->give(@args);
	return "@args";
}

# rebuild ROLE options...: a role behind --from is a node, too.
sub do_rebuild
{
	my ($self, $role, @o) = @_;
	return $self->order('rebuild', $self->host($role)->name, map { $_ > 0 && $o[ $_ - 1 ] eq '--from' ? $self->host($o[$_])->name : $o[$_] } 0 .. $#o);
}

# Ends the rebuild of a node, if one is known.
sub do_cancel_job
{
	my ($self, $role) = @_;
	my $name = $self->host($role)->name;
	my $id = $self->{orders}->job_of($name, $self->{status}) // return "no rebuild of $name is known";
	return $self->order('cancel', $id);
}

# A section that is there is not written again.
sub do_add
{
	my ($self, $role, @o) = @_;
	my $name = $self->host($role)->name;
	return $self->order('node', 'add', $name, $self->{cluster}->has_section($name) ? () : $self->{cluster}->section_options($name), @o);
}

# ---- all the time, and at the end ----

# What a service manager does: regentd comes back when it died.
sub tick
{
	my ($self) = @_;
	my $c = $self->{cluster};
	$_->collect for $c->hosts;
	$self->{orders}->tick;
	if ($self->{regentd_back} && Util::now() >= $self->{regentd_back} && $c->host('w')->is_up && !$c->host('w')->{frozen})
	{
		delete $self->{regentd_back};
		$c->start_regentd unless defined $c->regentd_pid;
	}
}

# Everything is mended: network, processes, disks, power.
sub peace
{
	my ($self, $rng) = @_;
	my $c = $self->{cluster};
	$self->act('heal');
	for my $h ($c->hosts)
	{
		$_->{to} //= Util::now() for grep { $_->{node} eq $h->name } @{ $self->{still} };
		$h->wake if $h->is_up;
		unlink $h->dir . '/ballast';
	}
	for my $h ($rng->shuffle(grep { !$_->is_up } $c->hosts))
	{
		$h->boot;
		$c->start_server($h->name) if $h->name =~ /^n/ && $rng->chance(0.7);
	}
	$c->start_regentd unless defined $c->regentd_pid;
	delete $self->{regentd_back};
	$self->resync;
	push @{ $self->{acts} }, [ Util::now(), 'peace', '' ];
}

# Puts the names of synchronous standbys back, as soon as the node can be asked.
sub resync
{
	my ($self) = @_;
	my $c = $self->{cluster};
	$self->{unsynced} = [ grep { !defined $c->sql($_, "ALTER SYSTEM RESET synchronous_standby_names;\nSELECT pg_reload_conf();", 5) } @{ $self->{unsynced} || [] } ];
}

1;
